/** Errors in OpenAI's shape. */

/** An error as OpenAI answers it. */
export class ApiError extends Error {
  readonly status: number;
  readonly param: string | null;
  readonly retryAfter: number | null;

  constructor(status: number, message: string, details: { param?: string; retryAfter?: number } = {}) {
    super(message);
    this.status = status;
    this.param = details.param ?? null;
    this.retryAfter = details.retryAfter ?? null;
  }

  /** The `error` member of the body. */
  toBody(): { message: string; type: string; param: string | null; code: string | null } {
    const [type, code] = ERROR_KINDS[this.status] ?? (this.status >= 500 ? SERVER_ERROR : INVALID_REQUEST);
    return { message: this.message, type, param: this.param, code };
  }
}

type ErrorKind = [type: string, code: string | null];
const INVALID_REQUEST: ErrorKind = ['invalid_request_error', null];
const SERVER_ERROR: ErrorKind = ['server_error', null];
const ERROR_KINDS: Record<number, ErrorKind> = {
  401: ['invalid_request_error', 'invalid_api_key'],
  402: ['insufficient_quota', 'insufficient_quota'],
  403: ['permission_error', 'forbidden'],
  404: ['invalid_request_error', 'model_not_found'],
  429: ['requests', 'rate_limit_exceeded'],
};

/** The answer to anything thrown; what nobody foresaw is a 500 and is logged. */
export function errorResponse(thrown: unknown): Response {
  if (!(thrown instanceof ApiError)) console.error('AI simulator:', thrown);
  const error = thrown instanceof ApiError ? thrown : new ApiError(500, 'The simulator failed, see its log.');
  const response = Response.json({ error: error.toBody() }, { status: error.status });
  if (error.retryAfter !== null) response.headers.set('retry-after', String(error.retryAfter));
  return response;
}

/** Thrown inside a response's stream to have the connection destroyed. */
export class ConnectionCut extends Error {
  /** With this code @hono/node-server destroys the socket at once; with any other it first writes an error text. */
  readonly code = 'ERR_STREAM_PREMATURE_CLOSE';

  constructor() {
    super('The simulator cut the connection, as the caller asked.');
  }
}
