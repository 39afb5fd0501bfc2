/** Fetching a provider's file without being sent anywhere else: each step of the way is checked. */
import { findRule, type HostRule, isPublicAddress } from './hosts.ts';

/** A file that is not fetched, now or later: from there, of that kind, of that size. */
export class FileRefusedError extends Error {}

/** What a fetch is done with; tests put theirs in. */
export interface Tools {
  fetch: (url: URL, init: RequestInit) => Promise<Response>;
  /** All addresses of a name. */
  resolve: (hostname: string) => Promise<string[]>;
}

const MOST_REDIRECTS = 5;

/**
 * Opens a file, or a `range` of it. `key` goes along as `Authorization` to its origin and to no other. Throws FileRefusedError where an address
 * on the way is not allowed, and what fetch throws. Between the look at a name's addresses and the connection the name could
 * be given another: that is why only names that the operator lists are looked at.
 */
export async function openFile(
  address: string,
  rules: HostRule[],
  key: { origin: string; key: string } | undefined,
  tools: Tools,
  signal?: AbortSignal,
  range?: string,
): Promise<Response> {
  let url = readUrl(address);
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects += 1) {
    await checkAddress(url, rules, tools);
    // Not compressed: the length and ranges of a file are those of its bytes then.
    const headers: Record<string, string> = {
      accept: 'video/*, application/octet-stream',
      'accept-encoding': 'identity',
    };
    if (range !== undefined) headers.range = range;
    if (key?.origin === url.origin) headers.authorization = `Bearer ${key.key}`;
    const response = await tools.fetch(url, { headers, redirect: 'manual', signal });
    const next = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || next === null) return response;
    await response.body?.cancel();
    url = readUrl(next, url);
  }
  throw new FileRefusedError(`more than ${MOST_REDIRECTS} redirects`);
}

async function checkAddress(url: URL, rules: HostRule[], tools: Tools): Promise<void> {
  const rule = findRule(url, rules);
  if (!rule) throw new FileRefusedError(`files are not fetched from ${url.origin}`);
  if (rule.allowsInner) return;
  const addresses = await tools.resolve(url.hostname);
  if (addresses.length === 0) throw new Error(`${url.hostname} has no address`);
  if (!addresses.every(isPublicAddress)) throw new FileRefusedError(`${url.hostname} is an inner address`);
}

function readUrl(address: string, base?: URL): URL {
  if (!URL.canParse(address, base?.href)) throw new FileRefusedError('an address that is no URL');
  return new URL(address, base);
}
