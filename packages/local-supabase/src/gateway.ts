/** The one port of the stack: routes to REST, sign-in, storage and functions, as Supabase's gateway does. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { type ApiKeys, applyApiKey } from './api-keys.ts';
import { allowAnyOrigin, answerPreflight } from './cors.ts';
import { LOCALHOST } from './net.ts';
import { forward, preflightUpstream } from './proxy.ts';

type FetchApp = { fetch(request: Request): Response | Promise<Response> };

/** Where the gateway sends requests. Functions are asked for at each request: their host moves when it reloads. */
export type Routes = {
  keys: ApiKeys;
  rest: string;
  auth: FetchApp;
  storage: FetchApp;
  functions: () => string;
};

/** Listens on `port` of this machine. Resolves once it listens; gives a function that closes it and its connections. */
export async function startGateway(port: number, routes: Routes): Promise<() => Promise<void>> {
  const handlers: Record<string, HttpHandler> = {
    rest: restHandler(routes),
    auth: appHandler(routes.keys, routes.auth),
    storage: appHandler(routes.keys, routes.storage),
    functions: functionsHandler(routes),
  };
  const server = createServer((request, response) => {
    const route = request.url?.match(/^\/(rest|auth|storage|functions)\/v1(?=[/?]|$)/);
    const handle = route?.[1] && handlers[route[1]];
    if (!route || !handle) {
      answerJson(response, 404, { message: `Nothing is served at ${request.url}.` }, allowAnyOrigin());
      return;
    }
    const rest = request.url?.slice(route[0].length) ?? '';
    request.url = rest.startsWith('/') ? rest : `/${rest}`;
    handle(request, response);
  });
  // A stream of an AI call may be silent for long; the functions decide when to give up.
  server.requestTimeout = 0;
  // Clients drop idle connections first: a busy one that is late must not send on a connection that is closing.
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, LOCALHOST, resolve));
  return () => close(server);
}

type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

function restHandler({ keys, rest }: Routes): HttpHandler {
  return checked(keys, { required: true }, (request, response) => {
    forward(request, response, rest, { replaceCors: allowAnyOrigin() });
  });
}

/** A stand-in that runs in this process. It checks the caller's token itself; a page or a link may come without a key. */
function appHandler(keys: ApiKeys, app: FetchApp): HttpHandler {
  const listener = getRequestListener((request) => app.fetch(request), { hostname: LOCALHOST });
  return checked(keys, { required: false }, (request, response) => {
    for (const [name, value] of Object.entries(allowAnyOrigin())) response.setHeader(name, value);
    listener(request, response);
  });
}

/** Answers preflights and checks the API key before `handle` sees a request. */
function checked(keys: ApiKeys, rule: { required: boolean }, handle: HttpHandler): HttpHandler {
  return (request, response) => {
    if (request.method === 'OPTIONS') {
      answerPreflight(request, response);
      return;
    }
    const refusal = applyApiKey(request, keys, rule);
    if (refusal) answerJson(response, 401, refusal, allowAnyOrigin());
    else handle(request, response);
  };
}

/** Functions answer for themselves, preflights too; the gateway answers only those that a function leaves unanswered. */
function functionsHandler({ functions }: Routes): HttpHandler {
  return (request, response) => {
    if (request.method !== 'OPTIONS') {
      forward(request, response, functions());
      return;
    }
    preflightUpstream(request, functions())
      .catch(() => undefined)
      .then((answer) => {
        if (answer) response.writeHead(answer.status, answer.headers).end();
        else answerPreflight(request, response);
      });
  };
}

function answerJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  response
    .writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers })
    .end(JSON.stringify(body));
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
