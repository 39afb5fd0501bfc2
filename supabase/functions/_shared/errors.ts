/** Errors as every function answers them: OpenAI's shape, the codes of the SQL side. */

/** Header that tells the official `openai` client whether to try again. Source: openai-node, `shouldRetry`. */
const SHOULD_RETRY = 'x-should-retry';

/** The longest that a client is to wait by itself before it tries again, seconds: it waits as long as `retry-after` says. */
const LONGEST_WAIT = 60;

/** An error whose message is for the caller. Anything else that is thrown becomes `internal_error` and tells nothing. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

/** 400 `invalid_request`; `param` names what is off. */
export function invalidRequest(message: string, param: string | null = null): ApiError {
  return new ApiError(400, 'invalid_request', message, param);
}

/** What SQL answers where it refuses paid work: data, for an error would take back what it counted and logged. */
export interface Refusal {
  status: number;
  code: string;
  message: string;
  param: string | null;
  /** Seconds; null where waiting does not help. */
  retry_after: number | null;
}

/** The error for a refusal, with `retry-after` where waiting helps. */
export function refusalError({ status, code, message, param, retry_after }: Refusal): ApiError {
  return new ApiError(status, code, message, param, retry_after === null ? {} : { 'retry-after': String(retry_after) });
}

/** The body of an error: `{ error: { message, type, code, param, request_id } }`. */
export function errorBody(error: ApiError, requestId: string) {
  const { message, code, param, status } = error;
  return { error: { message, type: errorType(status), code, param, request_id: requestId } };
}

/** Turns whatever was thrown into an answer. What is not ours is logged and shown as a plain 500. */
export function errorResponse(thrown: unknown, requestId: string): Response {
  const error = thrown instanceof ApiError ? thrown : internalError(thrown, requestId);
  const headers: Record<string, string> = { ...error.headers };
  if (isRetryPointless(error)) headers[SHOULD_RETRY] = 'false';
  return Response.json(errorBody(error, requestId), { status: error.status, headers });
}

/** Of what clients try again (409, 429, 5xx), that which says no time to wait, or a long one, and would end the same way. */
function isRetryPointless({ status, code, headers }: ApiError): boolean {
  if (code === 'maintenance' || Number(headers['retry-after']) > LONGEST_WAIT) return true;
  return (status === 409 || status === 429) && headers['retry-after'] === undefined;
}

function internalError(thrown: unknown, requestId: string): ApiError {
  console.error(`request ${requestId} failed:`, thrown);
  return new ApiError(500, 'internal_error', 'Something went wrong on our side.');
}

/** The `type` that OpenAI's API pairs with a status. */
function errorType(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 402) return 'insufficient_quota';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'api_error';
}
