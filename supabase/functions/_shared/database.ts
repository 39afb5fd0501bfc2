/** The functions' way to Postgres: one rpc before the provider is called, one after. */
import { createAdminClient } from '@supabase/server/core';
import type { PostgrestError } from '@supabase/supabase-js';
import type { Database } from './database.types.ts';
import { ApiError } from './errors.ts';

/** A client with the service role's rights; made once, it holds no session. */
export const database = createAdminClient<Database>();

/** SQLSTATEs that a second try can mend: serialization failure, deadlock, lock or statement timeout, server going down. */
const TRANSIENT = new Set([
  '40001',
  '40P01',
  '55P03',
  '57014',
  '57P01',
  '57P03',
  'PGRST000',
  'PGRST001',
  'PGRST002',
  'PGRST003',
]);

type Answer<T> = { data: T; error: null } | { data: null; error: PostgrestError; status: number };

/**
 * Runs a query, a second time where that can help, and returns its data.
 * Throws an ApiError with the code, status and sentence that SQL raised; 503 `unavailable` where two tries failed.
 */
export async function run<T>(query: () => PromiseLike<Answer<T>>): Promise<T> {
  let answer = await query();
  if (answer.error && isTransient(answer.error, answer.status)) answer = await query();
  if (!answer.error) return answer.data;
  if (isTransient(answer.error, answer.status)) {
    console.error('database unavailable:', answer.error);
    throw new ApiError(503, 'unavailable', 'The service is busy. Try again in a moment.', null, { 'retry-after': '1' });
  }
  throw raisedError(answer.error);
}

function isTransient(error: PostgrestError, status: number): boolean {
  return TRANSIENT.has(error.code) || status === 0 || status === 502 || status === 503;
}

/** `PTnnn` is an error that SQL raised for the caller (DETAIL is its sentence); every other is ours and stays inside. */
function raisedError(error: PostgrestError): Error {
  const status = error.code.match(/^PT(\d{3})$/)?.[1];
  if (!status) return new Error(`database error ${error.code}: ${error.message}`);
  return new ApiError(Number(status), error.message, error.details || error.message);
}
