/** Which addresses a provider's files may be fetched from: only what its row names, and nothing inside our network. */
import { isIP } from 'node:net';

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
  // The URL parser has made 127.0.0.1 of 2130706433, 0x7f.1 and 0177.0.0.1 by now.
  const hostname = url.hostname.replace(/\.$/, '');
  return rules.find((rule) => {
    if (!isProtocolFine(url.protocol, rule) || !isPortFine(url, rule)) return false;
    if (!rule.host.startsWith('*.')) return rule.host === hostname;
    // Never an IP address: below a name of numbers there is none, for the parser makes four parts of it.
    return hostname.length >= rule.host.length && hostname.endsWith(rule.host.slice(1));
  });
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

/** Networks of IPv4 that are not the public internet: RFC 6890 and what came after it. */
const INNER_V4: [network: string, bits: number][] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
];

/** Whether an IP address is one of the public internet. */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address);
  if (version === 4) return isPublicV4(numberOf(address));
  return version === 6 && !address.includes('%') && isPublicV6(groupsOf(address));
}

function isPublicV4(address: number): boolean {
  return !INNER_V4.some(([network, bits]) => {
    const size = 2 ** (32 - bits);
    return Math.floor(address / size) === Math.floor(numberOf(network) / size);
  });
}

/** What is public lies in 2000::/3. Of that the first part (2001::/23: tunnels), 6to4 and documentation are not. */
function isPublicV6(groups: number[]): boolean {
  const [first = 0, second = 0] = groups;
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped) return isPublicV4((groups[6] ?? 0) * 0x10000 + (groups[7] ?? 0));
  if (first < 0x2000 || first > 0x3fff) return false;
  if (first === 0x2001 && (second < 0x200 || second === 0xdb8)) return false;
  return first !== 0x2002 && !(first === 0x3fff && second < 0x1000);
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** The eight groups, by way of the URL parser's own form, which has no dots in it. */
function groupsOf(address: string): number[] {
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = '', tail] = plain.split('::');
  const read = (text: string | undefined) => (text ? text.split(':').map((group) => Number.parseInt(group, 16)) : []);
  const [before, after] = [read(head), read(tail)];
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}
