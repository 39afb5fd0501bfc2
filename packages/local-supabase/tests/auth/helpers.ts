/** What the tests of sign-in share. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { adminPool, anonClient, env } from '../support/stack.ts';

/** A password that every rule accepts. */
export const PASSWORD = 'correct horse battery';

/** An address nobody has used. */
export function newEmail(): string {
  return `user-${randomUUID()}@example.test`;
}

/** A signed-up account with its client, session and address. */
export async function signUp(data: Record<string, unknown> = {}) {
  const client = anonClient();
  const email = newEmail();
  const answer = await client.auth.signUp({ email, password: PASSWORD, options: { data } });
  if (answer.error) throw answer.error;
  const { session, user } = answer.data;
  if (!session || !user) throw new Error('sign-up gave no session');
  return { client, email, session, user };
}

/** A raw request to the sign-in service; `bearer` defaults to the anon key. */
export async function call(
  method: string,
  path: string,
  options: { body?: unknown; raw?: string; bearer?: string | null; headers?: Record<string, string> } = {},
): Promise<{ status: number; headers: Headers; body: Record<string, unknown> }> {
  const bearer = options.bearer === undefined ? env.ANON_KEY : options.bearer;
  const response = await fetch(`${env.API_URL}/auth/v1${path}`, {
    method,
    headers: {
      apikey: env.ANON_KEY,
      'content-type': 'application/json',
      'x-supabase-api-version': '2024-01-01',
      ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
      ...options.headers,
    },
    body: options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body)),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) };
}

/**
 * Starts `work` while the rows that `lock` (a `select … for update`) selects are held, lets go of them once the work has
 * had time to come up against them, and gives what it gives: so that calls made at once really meet.
 */
export async function whileLocked<T>(lock: string, parameters: unknown[], work: () => Promise<T>): Promise<T> {
  const holder = await adminPool.connect();
  try {
    await holder.query('begin');
    await holder.query(lock, parameters);
    const result = work();
    await sleep(300);
    await holder.query('commit');
    return await result;
  } finally {
    holder.release();
  }
}
