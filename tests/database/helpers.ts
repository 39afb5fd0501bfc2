/** What the tests of the functions' own connections share: a pool as they open it, and the other way to the same rpcs. */
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';
import { RpcPool } from '../../supabase/functions/_shared/pool.ts';
import { type PoolSettings, readPoolSettings } from '../../supabase/functions/_shared/pool-settings.ts';
import { env, urls } from '../support/stack.ts';

/** The role that functions connect as. */
export const ROLE = 'basemeter_functions';

/** A pool on the stack's database, with the settings of a function but for `own`. The file ends it. */
export function poolOf(own: Partial<PoolSettings> = {}): RpcPool {
  const url = new URL(urls.database);
  url.username = ROLE;
  const settings = readPoolSettings({ get: (name) => (name === 'BASEMETER_DB_URL' ? url.href : undefined) });
  if (!settings) throw new Error('There are no settings.');
  return new RpcPool({ ...settings, ...own });
}

/** Calls an rpc over PostgREST as the service role; only its answer and error are looked at, of whatever types. */
export async function overApi(name: string, args: object, headers: Record<string, string> = {}) {
  const client = createClient(env.API_URL, env.SECRET_KEY, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: WebSocket as never },
    global: { headers },
  });
  return client.rpc(name, args);
}
