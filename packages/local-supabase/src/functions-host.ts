/**
 * Serves every function of a project from one Deno process, as the hosted runtime shows it to them: the path begins with
 * the function's name, JWTs are checked first where config.toml says so, `EdgeRuntime.waitUntil` keeps work alive.
 * Run by functions.ts, for development alone.
 */
import dgram from 'node:dgram';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { createLocalJWKSet, decodeProtectedHeader, errors as joseErrors, jwtVerify } from 'npm:jose@6.2.17';

type Handler = (request: Request, info?: Deno.ServeHandlerInfo) => Response | Promise<Response>;

/** One function as the supervisor hands it over in HOST_FUNCTIONS. */
type FunctionSpec = { name: string; entrypoint: string; verifyJwt: boolean };

const specs: FunctionSpec[] = JSON.parse(takeEnv('HOST_FUNCTIONS'));
const port = Number(takeEnv('HOST_PORT'));
const userKeys = createLocalJWKSet(JSON.parse(takeEnv('HOST_JWKS')));
const legacySecret = new TextEncoder().encode(takeEnv('HOST_JWT_SECRET'));
const backgroundWork = new Set<Promise<unknown>>();

Object.assign(globalThis, {
  EdgeRuntime: {
    waitUntil<T>(promise: Promise<T>): Promise<T> {
      backgroundWork.add(promise);
      const forget = () => backgroundWork.delete(promise);
      promise.then(forget, forget);
      return promise;
    },
  },
});

// A rejected promise that nobody awaits ends a hosted worker; here it would end every function at once.
globalThis.addEventListener('unhandledrejection', (event) => {
  console.error('unhandled rejection:', event.reason);
  event.preventDefault();
});

// A function in the form `Deno.serve(…)` is served behind the gateway like any other: a port of its own would be open to
// the network, without the JWT check.
const listen = Deno.serve;
let served: Handler | undefined;
Deno.serve = takeHandler as typeof Deno.serve;
Deno.listen = Deno.listenTls = refuseToListen as never;
// Not in every version of Deno do the others' servers inherit from that of node:net.
for (const { Server } of [net, tls, http, https]) Server.prototype.listen = refuseToListen as never;
dgram.Socket.prototype.bind = refuseToListen as never;

const handlers = new Map<string, { handler: Handler | undefined; verifyJwt: boolean }>();
for (const spec of specs) handlers.set(spec.name, { handler: await load(spec), verifyJwt: spec.verifyJwt });

const server = listen({ hostname: '127.0.0.1', port, onListen: () => console.log('functions ready') }, serve);
Deno.addSignalListener('SIGTERM', stop);
endWithSupervisor();

async function serve(request: Request, info: Deno.ServeHandlerInfo): Promise<Response> {
  const name = new URL(request.url).pathname.split('/')[1] ?? '';
  if (name === '_health') return Response.json({ broken: brokenFunctions() });
  const target = handlers.get(name);
  if (!target) return failure(404, 'NOT_FOUND', `There is no function ${name}.`);
  if (target.verifyJwt && request.method !== 'OPTIONS') {
    const refusal = await refuseUnlessSigned(request);
    if (refusal) return refusal;
  }
  if (!target.handler) return failure(503, 'BOOT_ERROR', `Function ${name} did not load; its error is in the log.`);
  try {
    return await target.handler(request, info);
  } catch (error) {
    console.error(`${name}:`, error);
    return failure(500, 'WORKER_ERROR', `Function ${name} threw; its error is in the log.`);
  }
}

function brokenFunctions(): string[] {
  return [...handlers].filter(([, { handler }]) => !handler).map(([name]) => name);
}

async function load(spec: FunctionSpec): Promise<Handler | undefined> {
  try {
    served = undefined;
    const module = await import(spec.entrypoint);
    if (served) return served;
    const fetch = module.default?.fetch;
    if (typeof fetch !== 'function') {
      throw new Error('its index.ts has neither `Deno.serve(…)` nor `export default { fetch }`');
    }
    return (request, info) => module.default.fetch(request, info);
  } catch (error) {
    console.error(`function ${spec.name} did not load:`, error);
    return undefined;
  }
}

/** `Deno.serve(handler)`, `Deno.serve(options, handler)` and `Deno.serve({ handler, … })`, while a function is loaded. */
function takeHandler(...args: unknown[]): Deno.HttpServer<Deno.NetAddr> {
  const options = (typeof args[0] === 'function' ? {} : (args[0] ?? {})) as Deno.ServeTcpOptions & {
    handler?: Handler;
  };
  const handler = (args.find((arg) => typeof arg === 'function') ?? options.handler) as Handler | undefined;
  if (!handler) throw new TypeError('Deno.serve was given no handler');
  const { onError } = options;
  served = !onError
    ? handler
    : async (request, info) => {
        try {
          return await handler(request, info);
        } catch (error) {
          return onError(error);
        }
      };
  const addr: Deno.NetAddr = { transport: 'tcp', hostname: '127.0.0.1', port };
  options.onListen?.(addr);
  const nothing = () => undefined;
  const shutdown = () => Promise.resolve();
  return {
    addr,
    finished: new Promise(nothing),
    ref: nothing,
    unref: nothing,
    shutdown,
    [Symbol.asyncDispose]: shutdown,
  };
}

function refuseToListen(): never {
  throw new Deno.errors.NotCapable('A function opens no port; it is served behind the gateway.');
}

/** The platform's check: any JWT signed with the project's secret or keys passes, the anon key too. */
async function refuseUnlessSigned(request: Request): Promise<Response | undefined> {
  const header = request.headers.get('authorization');
  if (!header) return failure(401, 'UNAUTHORIZED_NO_AUTH_HEADER', 'Missing authorization header');
  const token = header.match(/^Bearer (.+)$/i)?.[1] ?? '';
  let algorithm: string | undefined;
  try {
    algorithm = decodeProtectedHeader(token).alg;
  } catch {
    return failure(401, 'UNAUTHORIZED_INVALID_JWT_FORMAT', 'Invalid JWT');
  }
  if (algorithm !== 'HS256' && algorithm !== 'ES256') {
    return failure(401, 'UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM', `Unsupported JWT algorithm ${algorithm}`);
  }
  try {
    if (algorithm === 'HS256') await jwtVerify(token, legacySecret, { algorithms: [algorithm] });
    else await jwtVerify(token, userKeys, { algorithms: [algorithm] });
    return undefined;
  } catch (error) {
    if (!(error instanceof joseErrors.JOSEError)) throw error;
    return failure(401, algorithm === 'HS256' ? 'UNAUTHORIZED_JWT' : 'UNAUTHORIZED_ASYMMETRIC_JWT', 'Invalid JWT');
  }
}

function failure(status: number, code: string, message: string): Response {
  return Response.json({ code, message, msg: message }, { status, headers: { 'sb-error-code': code } });
}

/** Takes no new requests, lets those under way and their background work finish; the supervisor sets the deadline. */
async function stop(): Promise<void> {
  await server.shutdown();
  await Promise.allSettled(backgroundWork);
  Deno.exit(0);
}

/** The supervisor holds our stdin open; it closes when the supervisor is gone, even if that was killed. */
async function endWithSupervisor(): Promise<void> {
  await Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => undefined);
  Deno.exit(0);
}

/** Reads a setting of the host and hides it from the functions. */
function takeEnv(name: string): string {
  const value = Deno.env.get(name);
  if (value === undefined) throw new Error(`${name} is not set; the host is started by functions.ts`);
  Deno.env.delete(name);
  return value;
}
