/** What has to hold of a database after everything was done to it: its ledger is right, its statistics tell its log. */
import { withClient } from '@basemeter/local-supabase';

type Rules = Record<string, string>;

/** One statement a rule; a rule is broken by every row that its statement gives. */
const RULES_OF_LEDGER: Rules = {
  'verify_credits() finds no drift': 'select * from public.verify_credits()',
  'no call has two entries': `select hold_id from public.credit_transactions
    where hold_id is not null and metadata ? 'request_id' group by hold_id having count(*) > 1`,
};
const RULES_OF_LOG: Rules = {
  'no call has two log rows': `select hold_id from public.ai_usage_logs where hold_id is not null
    group by hold_id having count(*) > 1`,
  'statistics are what a rebuild makes of the log': `
    (table statistics_before except all table statistics_now) union all (table statistics_now except all table statistics_before)`,
};

const REBUILD = `
  create temporary view statistics_now as select to_jsonb(s) as row from public.ai_usage_statistics s
    union all select jsonb_build_object('cost', sum(u.cost_usd), 'charged', sum(u.charged_usd)) from private.usage_by_day u
              group by u.workspace_id, u.day, u.model;
  create temporary table statistics_before as table statistics_now;
  select public.rebuild_usage_statistics(make_date(d.year, 1, 1), make_date(d.year, 12, 31)) from (
    select extract(year from day)::integer from private.usage_by_day
    union select extract(year from created_at at time zone 'UTC')::integer from public.ai_usage_logs
  ) d (year)`;

/** Checks every rule of the database at `adminUrl`, as far as its modules go, and tells of each. */
export async function proveLedger(
  adminUrl: string,
  say: (line: string) => void,
): Promise<{ passed: number; failed: number }> {
  const totals = { passed: 0, failed: 0 };
  await withClient(adminUrl, async (client) => {
    const has = async (name: string): Promise<boolean> =>
      (await client.query('select from pg_class where oid = to_regclass($1)', [name])).rowCount === 1;
    const rules = (await has('public.credit_wallets')) ? { ...RULES_OF_LEDGER } : {};
    if (await has('public.ai_usage_logs')) {
      await client.query(REBUILD);
      Object.assign(rules, RULES_OF_LOG);
    }
    for (const [rule, statement] of Object.entries(rules)) {
      const { rowCount } = await client.query(statement);
      const holds = rowCount === 0;
      totals[holds ? 'passed' : 'failed'] += 1;
      say(`${holds ? '✓' : '✗'} ${rule}${holds ? '' : ` (${rowCount} rows)`}`);
    }
  });
  return totals;
}
