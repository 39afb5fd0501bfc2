/** Errors as Supabase Storage answers them, and what a database error means to a caller. */
import pg from 'pg';
import { isServerDown } from '../database.ts';

/**
 * A refusal that the caller sees. Storage sends its real status in the body as text; the answer itself is a 400 (or 500,
 * 503), whatever the body says.
 */
export class StorageError extends Error {
  readonly status: number;
  readonly error: string;

  constructor(status: number, error: string, message: string) {
    super(message);
    this.status = status;
    this.error = error;
  }
}

export const noSuchKey = () => new StorageError(404, 'not_found', 'Object not found');
export const noSuchBucket = () => new StorageError(404, 'Bucket not found', 'Bucket not found');
export const duplicate = () => new StorageError(409, 'Duplicate', 'The resource already exists');
export const accessDenied = (message: string) => new StorageError(403, 'Unauthorized', message);
export const invalid = (message: string) => new StorageError(400, 'InvalidRequest', message);
export const invalidKey = (key: string) => new StorageError(400, 'InvalidKey', `Invalid key: ${key}`);
export const tooLarge = () =>
  new StorageError(413, 'Payload too large', 'The object exceeded the maximum allowed size');

/** Storage has the feature, this stand-in has not. */
export function notSupported(feature: string): StorageError {
  return new StorageError(
    409,
    'NotSupported',
    `${feature} is not part of the local storage stand-in; use \`supabase start\` or a hosted project for it.`,
  );
}

/** Turns anything thrown while serving a request into the answer; only what nobody foresaw becomes a 500. */
export function errorResponse(thrown: unknown): Response {
  const error = thrown instanceof StorageError ? thrown : explain(thrown);
  if (error.status === 500) console.error('storage stand-in:', thrown);
  const body = { statusCode: String(error.status), error: error.error, message: error.message };
  return Response.json(body, { status: error.status >= 500 ? error.status : 400 });
}

function explain(thrown: unknown): StorageError {
  if (isServerDown(thrown)) {
    return new StorageError(503, 'ServiceUnavailable', 'The database does not answer. Try again in a moment.');
  }
  if (thrown instanceof pg.DatabaseError) {
    if (thrown.code === '42501') return accessDenied(withoutTable(thrown.message));
    if (thrown.code === '23505') return duplicate();
    // 22: the value does not fit its type; 54: too deep or too long for Postgres.
    if (/^(22|54)/.test(thrown.code ?? '')) return invalid(`A value can't be stored: ${thrown.message}`);
  }
  if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ECONNRESET') {
    return new StorageError(400, 'Aborted', 'The upload was broken off.');
  }
  return new StorageError(500, 'InternalError', 'Internal server error, see the log of the local stack.');
}

/** `new row violates row-level security policy for table "objects"` without its end, as Storage says it. */
function withoutTable(message: string): string {
  return message.replace(/ for table "\w+"$/, '');
}
