/** Whose request is served, for what Postgres notes of a change: the audit log's address, browser and request id. */
import { AsyncLocalStorage } from 'node:async_hooks';

const served = new AsyncLocalStorage<Record<string, string>>();

/** Does the work of a request; rpcs that are called meanwhile come with `originHeaders`. */
export function serve<T>({ headers }: Request, requestId: string, work: () => T): T {
  const origin: Record<string, string> = { 'x-request-id': requestId };
  for (const name of ['user-agent', 'x-forwarded-for']) {
    const value = headers.get(name)?.slice(0, 500).toWellFormed();
    if (value) origin[name] = value;
  }
  return served.run(origin, work);
}

/** Notes the session of the person whose token the request has: SQL refuses one that has ended. */
export function ofSession(id: string): void {
  const origin = served.getStore();
  if (origin) origin['x-session-id'] = id;
}

/**
 * Work of the request that is served now, to be run later: a stream's callbacks are run by whoever reads it, in no context
 * or in that of another request.
 */
export function ofThisRequest<Given extends unknown[], T>(work: (...given: Given) => T): (...given: Given) => T {
  const origin = served.getStore();
  return origin ? (...given) => served.run(origin, work, ...given) : work;
}

/** Headers that say whose request is served; none outside of one. */
export function originHeaders(): Record<string, string> {
  return served.getStore() ?? {};
}
