/** A stack of a test's own, for what its other users would mind: programs killed, settings that hold for all. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startTestStack } from '../../scripts/testing/test-stack.ts';

/** The stack, SQL as `postgres`, and a signed-in person on plan enterprise. */
export type OwnStack = Awaited<ReturnType<typeof startOwnStack>>;

/** Starts it, with the demo rows and so many credits for the person. */
export async function startOwnStack(credits: number) {
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-test-'));
  const stack = await startTestStack({ dataDir, seed: true });
  const pool = new pg.Pool({ connectionString: stack.urls.database, max: 5 });
  pool.on('error', () => undefined);
  const rows = async (text: string, params: unknown[] = []) => (await pool.query(text, params)).rows;
  const signUp = await fetch(`${stack.env.API_URL}/auth/v1/signup`, {
    method: 'POST',
    headers: { apikey: stack.env.PUBLISHABLE_KEY, 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'ana@example.com', password: 'correct horse' }),
  });
  const session = (await signUp.json()) as { access_token: string; user: { id: string } };
  const person = { id: session.user.id, token: session.access_token };
  await rows(`update public.workspaces set plan = 'enterprise'`);
  await rows(`select public.credit_user_credits_transaction($1, $2, 'manual')`, [person.id, credits]);
  const stop = async () => {
    await pool.end();
    await stack.stop();
  };
  return { stack, dataDir, person, rows, stop };
}
