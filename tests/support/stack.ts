/** What tests need of the running stack: its addresses and keys, users, clients, and SQL as any role. */
import { randomUUID } from 'node:crypto';
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import pg from 'pg';
import { inject } from 'vitest';
import WebSocket from 'ws';
import type { Database } from '../../supabase/functions/_shared/database.types.ts';

const facts = inject('stack');

/** The variables of `npm run status`. */
export const env = facts.env;

/** Addresses of the parts: `api`, `functionsDirect`, `postgrest`, `simulator`, `paymentSimulator`, `database`, `databaseAdmin`. */
export const urls = facts.urls;

// Connections are kept, whose backends have their plans, and do not keep the process alive.
const keeping = { idleTimeoutMillis: 0, allowExitOnIdle: true };

/** A pool as superuser (`supabase_admin`), shared by the files of a process. Opens no more than 20 connections. */
export const adminPool = new pg.Pool({ connectionString: urls.databaseAdmin, max: 20, ...keeping });

const pool = new pg.Pool({ connectionString: urls.database, max: 10, ...keeping });

/** Runs one statement as role `postgres` and gives its rows. */
export async function sql<Row extends pg.QueryResultRow = pg.QueryResultRow>(
  text: string,
  params: unknown[] = [],
): Promise<Row[]> {
  return (await pool.query<Row>(text, params)).rows;
}

// A backend costs as much as a dozen calls, most of it to read the catalog and to plan: the next file takes what one left.
const idle = new Map<string, Client[]>();
const MOST_IDLE = 40;
/** Unreferenced, it does not keep its process alive; the types lack these two. */
type Client = pg.Client & { ref(): void; unref(): void };

/**
 * A connection that acts as `role` until it is ended, with `claims` as its JWT's claims when given. The caller ends it.
 * `supabase_auth_admin` and other roles that may log in do log in; the API roles are taken on by the authenticator.
 */
export async function sqlAs(role: string, claims?: object): Promise<pg.Client> {
  const byAuthenticator = ['anon', 'authenticated', 'service_role'].includes(role);
  const user = byAuthenticator ? 'authenticator' : role;
  const client = idle.get(user)?.pop() ?? (await connect(user));
  client.ref();
  if (byAuthenticator) await client.query(`set role ${pg.escapeIdentifier(role)}`);
  if (claims)
    await client.query(`select set_config('request.jwt.claims', $1, false)`, [JSON.stringify({ role, ...claims })]);
  return client;
}

/** A new connection; ending it undoes what was set and keeps it for the next to need one. */
async function connect(user: string): Promise<Client> {
  const url = new URL(urls.database);
  url.username = user;
  const client = new pg.Client({ connectionString: url.href }) as Client;
  await client.connect();
  const hangUp = client.end.bind(client);
  client.end = (async () => {
    try {
      await client.query(
        'rollback; reset session authorization; reset role; reset all; select pg_advisory_unlock_all()',
      );
      const waiting = idle.get(user) ?? [];
      if (waiting.length >= MOST_IDLE) return await hangUp();
      client.unref();
      idle.set(user, [...waiting, client]);
    } catch {
      await hangUp();
    }
  }) as typeof client.end;
  return client;
}

/** A supabase-js client without a session. */
export const anonClient = (): SupabaseClient<Database> => clientWith(env.PUBLISHABLE_KEY);

const service = clientWith(env.SECRET_KEY);

/** A supabase-js client with the service role's key; one for all, as it has no session. */
export const serviceClient = (): SupabaseClient<Database> => service;

/** A user for one test. */
export type TestUser = {
  id: string;
  email: string;
  password: string;
  /** supabase-js, signed in as this user. */
  client: SupabaseClient<Database>;
  accessToken: string;
};

/** Signs a user up, who is confirmed at once, as the local stack does. The address is random unless given. */
export async function newUser(email = `user-${randomUUID()}@example.test`): Promise<TestUser> {
  const password = randomUUID();
  const client = anonClient();
  const { data, error } = await client.auth.signUp({ email, password });
  if (error) throw error;
  if (!data.user || !data.session) throw new Error(`${email} was signed up without a session`);
  return { id: data.user.id, email, password, client, accessToken: data.session.access_token };
}

function clientWith(key: string): SupabaseClient<Database> {
  return createClient<Database>(env.API_URL, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    // Node 20 has no WebSocket of its own, and supabase-js wants one even where nothing subscribes.
    realtime: { transport: WebSocket as never },
  });
}
