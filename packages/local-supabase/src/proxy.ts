/** Hands requests on over HTTP. Bytes go through as they come, both ways; either side's end ends the other. */
import {
  Agent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { pipeline } from 'node:stream';

/** Idle connections are dropped before the upstreams drop them, so that a request never meets a closing one. */
const agent = new Agent({ keepAlive: true, timeout: 4_000 });

/** A longer body may be answered before it is read, and its connection then closed: it has one of its own. */
const LARGE_BODY = 64 * 1024;

/** Headers about one connection, which are not handed on (RFC 9110, 7.6.1). */
const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'];

/**
 * Sends the request to `origin` with its current url and headers, and its answer back. An upstream that can't be reached
 * is a 503; one that breaks off ends the client's connection the same way.
 */
export function forward(
  request: IncomingMessage,
  response: ServerResponse,
  origin: string,
  options: { replaceCors?: Record<string, string> } = {},
): void {
  const length = Number(request.headers['content-length'] ?? (request.headers['transfer-encoding'] ? Infinity : 0));
  const upstream = httpRequest(new URL(origin), {
    agent: length > LARGE_BODY ? false : agent,
    method: request.method,
    path: request.url,
    headers: forwardedHeaders(request),
  });
  upstream.once('response', (answer) => {
    response.writeHead(answer.statusCode ?? 502, answerHeaders(answer.headers, options.replaceCors));
    response.flushHeaders();
    pipeline(answer, response, (error) => error && response.destroy());
  });
  upstream.on('error', () => {
    if (response.headersSent) return; // the answer came; whether it came whole, its own stream tells
    const body = JSON.stringify({ message: 'This part of the stack does not answer; look into its log.' });
    response.writeHead(503, { 'content-type': 'application/json', ...options.replaceCors }).end(body);
  });
  response.once('close', () => upstream.destroy());
  request.pipe(upstream);
}

/** Asks `origin` itself to answer a preflight. Undefined when its answer allows nothing. */
export function preflightUpstream(
  request: IncomingMessage,
  origin: string,
): Promise<{ status: number; headers: OutgoingHttpHeaders } | undefined> {
  return new Promise((resolve, reject) => {
    const upstream = httpRequest(new URL(origin), {
      agent,
      method: 'OPTIONS',
      path: request.url,
      headers: forwardedHeaders(request),
    });
    upstream.on('error', reject);
    upstream.once('response', (answer) => {
      answer.resume();
      const allowed = (answer.statusCode ?? 500) < 400 && answer.headers['access-control-allow-origin'];
      resolve(
        allowed
          ? { status: 204, headers: answerHeaders({ ...answer.headers, 'content-length': undefined }) }
          : undefined,
      );
    });
    upstream.end();
  });
}

function forwardedHeaders(request: IncomingMessage): OutgoingHttpHeaders {
  const client = request.socket.remoteAddress ?? '';
  const before = request.headers['x-forwarded-for'];
  return {
    ...withoutHopByHop(request.headers),
    ...(request.headers['transfer-encoding'] ? { 'transfer-encoding': 'chunked' } : {}),
    'x-forwarded-for': before ? `${before}, ${client}` : client,
    'x-forwarded-proto': 'http',
    'x-forwarded-host': request.headers.host,
  };
}

function answerHeaders(headers: IncomingHttpHeaders, cors?: Record<string, string>): OutgoingHttpHeaders {
  const kept = Object.entries(withoutHopByHop(headers)).filter(
    ([name, value]) => value !== undefined && !(cors && name.startsWith('access-control-')),
  );
  return { ...Object.fromEntries(kept), ...cors };
}

function withoutHopByHop(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name)));
}
