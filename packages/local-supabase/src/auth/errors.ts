/** Errors as Supabase Auth answers them: one class, two body formats, and what a database error means to a caller. */
import pg from 'pg';
import { isServerDown } from '../database.ts';

/** Request and response header that chooses the error format. */
export const API_VERSION_HEADER = 'x-supabase-api-version';
/** From this version on an error is `{ code, message }`; before it `{ code: status, error_code, msg }`. */
const NAMED_CODES_SINCE = '2024-01-01';

/** A refusal that the caller sees: HTTP status, Supabase Auth's error code, a sentence, and further members of the body. */
export class AuthError extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: Record<string, unknown>;

  constructor(status: number, code: string, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

/** 400 `validation_failed`: the request is off; the message says where. */
export function invalid(message: string): AuthError {
  return new AuthError(400, 'validation_failed', message);
}

/** Turns anything thrown while serving `request` into the answer; only what nobody foresaw becomes a 500, and 503 says that Postgres is down. */
export function errorResponse(thrown: unknown, request: Request): Response {
  const error = thrown instanceof AuthError ? thrown : fromDatabaseError(thrown);
  if (error.status === 500) console.error('sign-in stand-in:', thrown);
  const version = requestedVersion(request);
  const named = version !== null && version >= NAMED_CODES_SINCE;
  const body = named
    ? { code: error.code, message: error.message, ...error.details }
    : { code: error.status, error_code: error.code, msg: error.message, ...error.details };
  return Response.json(body, {
    status: error.status,
    headers: { 'x-sb-error-code': error.code, ...(named ? { [API_VERSION_HEADER]: NAMED_CODES_SINCE } : {}) },
  });
}

function requestedVersion(request: Request): string | null {
  const version = request.headers.get(API_VERSION_HEADER);
  return version !== null && /^\d{4}-\d{2}-\d{2}$/.test(version) ? version : null;
}

function fromDatabaseError(thrown: unknown): AuthError {
  if (isServerDown(thrown))
    return new AuthError(503, 'unavailable', 'The database does not answer. Try again in a moment.');
  const unexpected = new AuthError(500, 'unexpected_failure', 'Unexpected failure, see the log of the local stack.');
  if (!(thrown instanceof pg.DatabaseError)) return unexpected;
  // An error from inside a function is a trigger of the project failing, not the caller's input being off.
  if (thrown.where?.includes('function')) {
    return new AuthError(500, 'unexpected_failure', `Database error saving the user: ${thrown.message}`);
  }
  if (thrown.constraint === 'users_email_partial_key') return emailExists();
  if (thrown.constraint === 'users_pkey') return new AuthError(422, 'user_already_exists', 'This user id is taken.');
  // 22: the value does not fit its type; 54: too deep or too long for Postgres.
  if (/^(22|54)/.test(thrown.code ?? '')) return invalid(`A value can't be stored: ${thrown.message}`);
  return unexpected;
}

/** 422 `email_exists`, as admin calls and changes of address answer it. */
export function emailExists(): AuthError {
  return new AuthError(422, 'email_exists', 'A user with this email address has already been registered');
}

/** 422 `user_already_exists`, as sign-up answers it while confirmations are off. */
export function userAlreadyExists(): AuthError {
  return new AuthError(422, 'user_already_exists', 'User already registered');
}

/** 422 `not_implemented`: Supabase Auth has the feature, this stand-in has not. Below 500, because clients retry those. */
export function notImplemented(feature: string): AuthError {
  return new AuthError(
    422,
    'not_implemented',
    `${feature} is not part of the local sign-in stand-in; use \`supabase start\` or a hosted project for it.`,
  );
}
