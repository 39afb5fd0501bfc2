/** What of the database's errors a later try can mend, and how such tries are made. */

/** What a call of an rpc came to, as PostgREST tells it. */
export type RpcAnswer =
  | { data: unknown; error: null; status: number }
  | { data: null; error: RpcError; status: number };

/** An error as PostgREST tells it; without a code where the connection broke. */
export interface RpcError {
  code?: string;
  message: string;
  details?: string;
  hint?: string;
  /** Of the answer that the error asks for. */
  headers?: Record<string, string>;
}

/** PostgREST's code where no connection became free in time: nothing was sent. */
export const NOT_FREE = 'PGRST003';

/**
 * SQLSTATEs and PostgREST's codes: connection exceptions, serialization failure, deadlock, lock or statement timeout, a
 * server that starts, ends or takes no more connections, no connection from PostgREST.
 */
const TRANSIENT = /^(08...|40001|40P01|53300|55P03|57014|57P0[1-5]|PGRST00[0-3])$/;
/** Waits between tries, ms: doubled each time up to the longest, and each a little different. */
const FIRST_WAIT = 100;
const LONGEST_WAIT = 3_000;

/**
 * Whether a later try can mend an error. One without a code comes from neither SQL nor PostgREST's checks: the connection
 * broke, also where PostgREST makes `400 {"code":"","message":""}` of that.
 */
export function isTransient({ code }: Pick<RpcError, 'code'>, status: number): boolean {
  if (!code) return status === 0 || status === 400 || status >= 500;
  return TRANSIENT.test(code) || (status >= 502 && status <= 504 && !code.startsWith('PT'));
}

/** How long to wait after so many tries (0: the first), ms. */
export function waitAfter(tries: number): number {
  return Math.min(FIRST_WAIT * 2 ** tries, LONGEST_WAIT) * (0.5 + Math.random() / 2);
}
