/** The functions' way to Postgres: one rpc before the provider is called, one after. */
import { createAdminClient } from '@supabase/server/core';
import type { PostgrestError } from '@supabase/supabase-js';
import type { Database } from './database.types.ts';
import { ApiError } from './errors.ts';
import { isTransient, waitAfter } from './outage.ts';

/** A client with the service role's rights; made once, it holds no session. */
export const database = createAdminClient<Database>();

/** How long tries are made where the caller can ask again, ms. */
const PATIENCE = 1_000;

type Answer<T> = { data: T; error: null } | { data: null; error: PostgrestError; status: number };

/**
 * Runs a query, again after a wait where that can help, and returns its data. Tries end after `patience` ms, but there are
 * always two: an answer may have been lost on its way, so a query that is run twice must do what it does once.
 * Throws an ApiError with the code, status and sentence that SQL raised; 503 `unavailable` where no try succeeded.
 */
export async function run<T>(query: () => PromiseLike<Answer<T>>, patience = PATIENCE): Promise<T> {
  const until = Date.now() + patience;
  for (let tries = 0; ; tries += 1) {
    const { data, error, status } = (await query()) as Answer<T> & { status: number };
    if (!error) return data as T;
    if (!isTransient(error, status)) throw raisedError(error);
    const wait = waitAfter(tries);
    if (tries > 0 && Date.now() + wait > until) {
      console.error('database unavailable:', error);
      throw new ApiError(503, 'unavailable', 'The service is busy. Try again in a moment.', null, {
        'retry-after': '1',
      });
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** `PTnnn` is an error that SQL raised for the caller (DETAIL is its sentence); every other is ours and stays inside. */
function raisedError(error: PostgrestError): Error {
  const status = error.code.match(/^PT(\d{3})$/)?.[1];
  if (!status) return new Error(`database error ${error.code}: ${error.message}`);
  return new ApiError(Number(status), error.message, error.details || error.message);
}
