/** The audit log's due work, which blanks what is gone. */
import { sql } from './stack.ts';

/** Has the audit rows of an account or workspace that was deleted blanked, as due work does it. */
export async function blankAudit(id: string): Promise<void> {
  for (;;) {
    await sql('select private.forget_next_audit_logs(clock_timestamp())');
    const [row] = await sql<{ left: number }>(
      'select count(*)::integer as left from private.audit_removals where gone_id = $1',
      [id],
    );
    if (row?.left === 0) return;
  }
}
