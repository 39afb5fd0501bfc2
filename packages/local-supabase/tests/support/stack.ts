/** What tests need of the running stack: its addresses and keys, users, clients, and SQL. */
import { randomUUID } from 'node:crypto';
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, inject } from 'vitest';
import WebSocket from 'ws';

/** The stack's variables, and its database as role `postgres` and as superuser. */
export const { env, urls } = inject('localSupabase');

/** A pool as superuser (`supabase_admin`). */
export const adminPool = new pg.Pool({ connectionString: urls.databaseAdmin, max: 20 });

const pool = new pg.Pool({ connectionString: urls.database, max: 10 });

afterAll(async () => {
  await Promise.all([pool.end(), adminPool.end()]);
});

/** Runs one statement as role `postgres` and gives its rows. */
export async function sql(text: string, params: unknown[] = []): Promise<pg.QueryResultRow[]> {
  return (await pool.query(text, params)).rows;
}

/** A supabase-js client with a key. */
export const clientOf = (apiUrl: string, key: string): SupabaseClient =>
  createClient(apiUrl, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    // Node 20 has no WebSocket of its own, and supabase-js wants one even where nothing subscribes.
    realtime: { transport: WebSocket as never },
  });

/** A supabase-js client without a session. */
export const anonClient = (): SupabaseClient => clientOf(env.API_URL, env.PUBLISHABLE_KEY);

/** A supabase-js client with the service role's key. */
export const serviceClient = (): SupabaseClient => clientOf(env.API_URL, env.SECRET_KEY);

/** A user for one test, and supabase-js signed in as them. */
export type TestUser = { id: string; email: string; client: SupabaseClient; accessToken: string };

/** Makes a confirmed user with the admin API and signs them in. */
export async function newUser(): Promise<TestUser> {
  const email = `user-${randomUUID()}@example.test`;
  const password = randomUUID();
  const made = await serviceClient().auth.admin.createUser({ email, password, email_confirm: true });
  if (made.error) throw made.error;
  const client = anonClient();
  const { data, error } = await client.auth.signInWithPassword({ email, password });
  if (error) throw error;
  return { id: made.data.user.id, email, client, accessToken: data.session.access_token };
}
