/** Which addresses a provider's files may be fetched from: only what its row names, and nothing inside our network. */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** One entry of a provider's `result_hosts`. */
export interface HostRule {
  /** Lower case; an IPv6 address in its brackets. With `*.` in front it stands for every name below it. */
  host: string;
  /** Empty: the usual one of the protocol. */
  port: string;
  /** The operator named this very machine: it may be an inner one. */
  allowsInner: boolean;
  allowsHttp: boolean;
}

/** The entry that stands for the host of AI_BASE_URL. */
const BASE_URL_ENTRY = 'AI_BASE_URL';

/** Reads `result_hosts`. Entries that are none match nothing. */
export function readHostRules(entries: string[], aiBaseUrl: string): HostRule[] {
  return entries.flatMap((entry) => {
    if (entry === BASE_URL_ENTRY) return [ruleOfUrl(new URL(aiBaseUrl))];
    const isWildcard = entry.startsWith('*.');
    const address = `http://${isWildcard ? entry.slice(2) : entry}`;
    if (!/^[^\s/?#@]+$/.test(entry) || !URL.canParse(address)) return [];
    const { hostname } = new URL(address);
    const port = entry.match(/:(\d+)$/)?.[1] ?? '';
    if (isWildcard) return [{ host: `*.${hostname}`, port, allowsInner: false, allowsHttp: false }];
    const isMachine = isLiteral(hostname) || hostname === 'localhost';
    return [{ host: hostname, port, allowsInner: isMachine, allowsHttp: isMachine }];
  });
}

/** The rule for one address that the operator gave: its host, its port, whatever it is. */
export function ruleOfUrl({ hostname, port, protocol }: URL): HostRule {
  return { host: hostname, port, allowsInner: true, allowsHttp: protocol === 'http:' };
}

/** The rule that lets an address pass; undefined where none does. */
export function findRule(url: URL, rules: HostRule[]): HostRule | undefined {
  if (url.username || url.password) return undefined;
  return rules.find((rule) => isProtocolFine(url.protocol, rule) && isHostOf(url, rule));
}

/** Whether a rule names the host of an address, by whatever protocol. */
export function isListed(url: URL, rules: HostRule[]): boolean {
  return rules.some((rule) => isHostOf(url, rule));
}

function isHostOf(url: URL, rule: HostRule): boolean {
  if (!isPortFine(url, rule)) return false;
  // The URL parser has made 127.0.0.1 of 2130706433, 0x7f.1 and 0177.0.0.1 by now.
  const hostname = url.hostname.replace(/\.$/, '');
  if (!rule.host.startsWith('*.')) return rule.host === hostname;
  // Never an IP address: below a name of numbers there is none, for the parser makes four parts of it.
  return hostname.length >= rule.host.length && hostname.endsWith(rule.host.slice(1));
}

function isProtocolFine(protocol: string, rule: HostRule): boolean {
  return protocol === 'https:' || (protocol === 'http:' && rule.allowsHttp);
}

/** `url.port` is empty where it is the protocol's usual one. */
function isPortFine({ port, protocol }: URL, rule: HostRule): boolean {
  const usual = protocol === 'https:' ? '443' : '80';
  return (port || usual) === (rule.port || usual);
}

/** Whether a host of a URL is an IP address. */
export function isLiteral(hostname: string): boolean {
  return hostname.startsWith('[') || isIP(hostname) !== 0;
}

/** Whether a host that a user named may be a public one, as far as its name tells. */
export function isPublicName(hostname: string): boolean {
  const name = hostname.replace(/\.$/, '').toLowerCase();
  if (isLiteral(name)) return isPublicAddress(name.replace(/^\[|\]$/g, ''));
  if (name.split('.').includes('')) return false; // one dot may end a name, and no two may follow each other
  return name.includes('.') && !/\.(localhost|local|internal|localdomain|home\.arpa)$/.test(name);
}

/** What is assigned of IPv6 to the public internet. */
const PUBLIC_V6 = ipaddr.IPv6.parseCIDR('2000::/3');

/** Whether an IP address is one of the public internet. */
export function isPublicAddress(address: string): boolean {
  // Asked first: the library also reads forms such as 1.2.3, and a zone (%eth0) is of a link.
  if (isIP(address) === 0 || address.includes('%')) return false;
  const parsed = ipaddr.process(address); // of an IPv4 address mapped into IPv6, the IPv4 address
  return parsed.range() === 'unicast' && (parsed instanceof ipaddr.IPv4 || parsed.match(PUBLIC_V6));
}
