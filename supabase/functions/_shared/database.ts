/** The functions' way to Postgres: one rpc before the provider is called, one after. */
import { createAdminClient } from '@supabase/server/core';
import type { Database } from './database.types.ts';
import { ApiError } from './errors.ts';
import { originHeaders } from './origin.ts';
import { isTransient, NOT_FREE, type RpcAnswer, type RpcError, waitAfter } from './outage.ts';
import { RpcPool } from './pool.ts';
import { readPoolSettings } from './pool-settings.ts';

/** With the service role's rights; made once, it holds no session. */
const api = createAdminClient<Database>();
const settings = readPoolSettings(Deno.env);
const pool = settings && new RpcPool(settings);

/** It is for everyone, who read the tables behind it themselves; the pool's role reads none. */
const FOR_EVERYONE = new Set(['list_payment_products']);

type Rpcs = Database['public']['Functions'];
type Answer<T> = Exclude<RpcAnswer, { error: null }> | { data: T; error: null; status: number };

/** Rpcs over the pool where `BASEMETER_DB_URL` is set, else over PostgREST; and Storage. */
export const database = {
  storage: api.storage,
  async rpc<Name extends keyof Rpcs & string>(
    name: Name,
    args: Rpcs[Name]['Args'],
  ): Promise<Answer<Rpcs[Name]['Returns']>> {
    const headers = originHeaders();
    const answer =
      pool && !FOR_EVERYONE.has(name)
        ? await pool.call(name, args as object, headers)
        : await overApi(name, args, headers);
    return answer as Answer<Rpcs[Name]['Returns']>;
  },
};

async function overApi(name: keyof Rpcs, args: unknown, headers: Record<string, string>): Promise<RpcAnswer> {
  const request = api.rpc(name, args as never);
  for (const [header, value] of Object.entries(headers)) request.setHeader(header, value);
  return (await request) as RpcAnswer;
}

/** How long tries are made where the caller can ask again, ms. */
const PATIENCE = 1_000;

/**
 * Runs a query, again after a wait where that can help, and returns its data. Tries end after `patience` ms, but what was
 * sent is sent twice: its answer may have been lost on its way, so a query that is run twice must do what it does once.
 * Throws an ApiError with the code, status and sentence that SQL raised; 503 `unavailable` where no try succeeded.
 */
export async function run<T>(query: () => PromiseLike<Answer<T>>, patience = PATIENCE): Promise<T> {
  const until = Date.now() + patience;
  for (let tries = 0; ; tries += 1) {
    const { data, error, status } = await query();
    if (!error) return data as T;
    if (!isTransient(error, status)) throw raisedError(error, status);
    const wait = waitAfter(tries);
    const isEnough = tries > 0 || error.code === NOT_FREE;
    if (isEnough && Date.now() + wait > until) {
      console.error('database unavailable:', error);
      throw new ApiError(503, 'unavailable', 'The service is busy. Try again in a moment.', null, {
        'retry-after': '1',
      });
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/**
 * `PTnnn` is an error that SQL raised for the caller (DETAIL is its sentence), and so is one whose code is its message, from
 * `raise_error` with a `Retry-After`; every other is ours and stays inside.
 */
function raisedError({ code = '', message, details, headers = {} }: RpcError, status: number): Error {
  const raised = code === message ? status : Number(code.match(/^PT(\d{3})$/)?.[1]);
  if (!raised) return new Error(`database error ${code}: ${message}`);
  const retryAfter = headers['Retry-After'];
  return new ApiError(raised, message, details || message, null, retryAfter ? { 'retry-after': retryAfter } : {});
}
