/** CORS for what any web page may call: REST and sign-in, whose callers prove themselves with a token. */
import type { IncomingMessage, ServerResponse } from 'node:http';

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';
/** What a page may read of an answer, beyond the headers that every browser shows. */
const EXPOSED = [
  'content-encoding',
  'content-location',
  'content-range',
  'content-type',
  'date',
  'location',
  'preference-applied',
  'range-unit',
  'retry-after',
  'x-request-id',
  'x-sb-error-code',
  'x-total-count',
  'link',
].join(', ');

/** The headers of an answer to a page of any origin. */
export function allowAnyOrigin(): Record<string, string> {
  return { 'access-control-allow-origin': '*', 'access-control-expose-headers': EXPOSED };
}

/**
 * Answers a preflight. It allows the very headers the page asks for: clients add new ones (tracing, retries,
 * `x-stainless-*`), and a fixed list would block them.
 */
export function answerPreflight(request: IncomingMessage, response: ServerResponse): void {
  const asked = request.headers['access-control-request-headers'];
  response
    .writeHead(204, {
      ...allowAnyOrigin(),
      'access-control-allow-methods': METHODS,
      'access-control-allow-headers': asked ?? 'authorization, apikey, content-type, x-client-info',
      'access-control-max-age': '3600',
      vary: 'access-control-request-headers',
    })
    .end();
}
