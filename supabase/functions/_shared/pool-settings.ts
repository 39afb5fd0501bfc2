/** Settings of the functions' own connections to Postgres, read from their environment; one that is invalid is named. */
import { z } from 'zod';

/** The variables that begin so are settings of the pool. */
const PREFIX = 'BASEMETER_DB_';
/** A transaction pooler at this port (Supavisor's, a dedicated PgBouncer's) knows no prepared statements. */
const TRANSACTION_POOLER = '6543';

const count = (least: number, usual: number) => z.coerce.number().int().min(least).max(1_000).default(usual);
const time = (usual: number) => z.coerce.number().positive().max(86_400).default(usual);

const variables = z.object({
  URL: z.url({ protocol: /^postgres(ql)?$/ }),
  CA: z.string().includes('-----BEGIN CERTIFICATE-----').optional(),
  MIN: count(0, 0),
  MAX: count(1, 4),
  IDLE_SECONDS: time(30),
  ACQUIRE_SECONDS: time(3),
  RECYCLE_SECONDS: time(1_800),
  STATEMENT_SECONDS: time(8),
});

/** What a pool is opened with; times in ms. */
export interface PoolSettings {
  host: string;
  port: number;
  database: string;
  user: string;
  password: string;
  /** False for this machine alone; elsewhere the server has to prove who it is. */
  tls: false | { rejectUnauthorized: true; ca?: string };
  /** Whether statements are prepared once for each connection. */
  prepare: boolean;
  /** So many connections stay open once they are. */
  min: number;
  max: number;
  /** An unused connection is closed after so long. */
  idle: number;
  /** How long a call waits for a connection. */
  acquire: number;
  /** A connection is closed when it is so old. */
  recycle: number;
  /** How long a statement may take; as long as PostgREST's role has on the platform, unless set. */
  statement: number;
}

/** Reads `BASEMETER_DB_…`; nothing without `BASEMETER_DB_URL`. Throws an Error that names the variable that is invalid. */
export function readPoolSettings(env: { get(name: string): string | undefined }): PoolSettings | undefined {
  const read = (name: string) => env.get(`${PREFIX}${name}`)?.trim() || undefined;
  if (!read('URL')) return undefined;
  const result = variables.safeParse(
    Object.fromEntries(Object.keys(variables.shape).map((name) => [name, read(name)])),
  );
  // Not the value: it may hold the password.
  if (!result.success) throw invalid(String(result.error.issues[0]?.path[0]), 'its value cannot be used');
  const { URL: text, CA, MIN, MAX, ...seconds } = result.data;
  const url = new URL(text);
  const [user, password, database] = [url.username, url.password, url.pathname.slice(1)].map(decodeURIComponent);
  if (!user || !password || !database) throw invalid('URL', 'it needs a user, a password and a database');
  if (MIN > MAX) throw invalid('MIN', `it is above ${PREFIX}MAX`);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return {
    ...{ host, port: Number(url.port || 5432), database, user, password },
    tls: isLoopback(host) ? false : { rejectUnauthorized: true, ca: CA },
    prepare: url.port !== TRANSACTION_POOLER && url.searchParams.get('pgbouncer') !== 'true',
    min: MIN,
    max: MAX,
    idle: seconds.IDLE_SECONDS * 1000,
    acquire: seconds.ACQUIRE_SECONDS * 1000,
    recycle: seconds.RECYCLE_SECONDS * 1000,
    statement: seconds.STATEMENT_SECONDS * 1000,
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function invalid(name: string, why: string): Error {
  return new Error(`${PREFIX}${name} is invalid: ${why}`);
}
