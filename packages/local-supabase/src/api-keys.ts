/** API keys at the gateway: which are known, and which role's JWT each stands for. */
import type { IncomingMessage } from 'node:http';
import type { StackKeys } from './keys.ts';

/** The keys the gateway knows. */
export type ApiKeys = Pick<StackKeys, 'anonKey' | 'serviceRoleKey' | 'publishableKey' | 'secretKey'>;

/**
 * Checks the request's `apikey` (header or query parameter) and fills in `Authorization` from it where that is absent or
 * repeats an `sb_…` key, which is no JWT: what comes behind the gateway sees a role's JWT only.
 * Gives the body of a 401 when the key is unknown, or missing though required; undefined when the request may pass.
 */
export function applyApiKey(
  request: IncomingMessage,
  keys: ApiKeys,
  { required }: { required: boolean },
): { message: string; hint?: string } | undefined {
  const apiKey = takeApiKey(request);
  if (!apiKey) {
    const hint = 'No `apikey` request header or url param was found.';
    return required ? { message: 'No API key found in request', hint } : undefined;
  }
  const jwt = jwtFor(apiKey, keys);
  if (!jwt) return { message: 'Invalid API key', hint: 'The key is not one of this stack.' };
  setHeader(request, 'apikey', apiKey);
  const authorization = request.headers.authorization;
  if (!authorization || /^Bearer sb_/i.test(authorization)) setHeader(request, 'authorization', `Bearer ${jwt}`);
  return undefined;
}

function jwtFor(apiKey: string, keys: ApiKeys): string | undefined {
  if (apiKey === keys.publishableKey || apiKey === keys.anonKey) return keys.anonKey;
  if (apiKey === keys.secretKey || apiKey === keys.serviceRoleKey) return keys.serviceRoleKey;
  return undefined;
}

/** Reads the key, and takes it out of the query, which PostgREST would read as a filter on a column. */
function takeApiKey(request: IncomingMessage): string | undefined {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  const parts = query.split('&').filter((part) => part !== '');
  const inQuery = parts.find((part) => part.startsWith('apikey='));
  if (inQuery) {
    const others = parts.filter((part) => !part.startsWith('apikey='));
    request.url = others.length > 0 ? `${path}?${others.join('&')}` : path;
  }
  const header = request.headers.apikey;
  return (Array.isArray(header) ? header[0] : header) ?? inQuery?.slice('apikey='.length);
}

/** Sets a header in both forms that a request has: the proxy reads `headers`, the sign-in stand-in's adapter `rawHeaders`. */
function setHeader(request: IncomingMessage, name: string, value: string): void {
  request.headers[name] = value;
  const others: string[] = [];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const [rawName = '', rawValue = ''] = request.rawHeaders.slice(at, at + 2);
    if (rawName.toLowerCase() !== name) others.push(rawName, rawValue);
  }
  request.rawHeaders = [...others, name, value];
}
