/**
 * The functions' own way to Postgres: a bounded pool of connections as a role that may execute their rpcs and nothing
 * else. A call is one transaction in one round trip: the settings that PostgREST makes for a request, then the function.
 */
// @ts-types="npm:@types/pg@8.23.1"
import pg from 'pg';
import { sha256 } from './hash.ts';
import { inTime } from './in-time.ts';
import { NOT_FREE, type RpcAnswer } from './outage.ts';
import type { PoolSettings } from './pool-settings.ts';

/** A server that says nothing for so much longer than a statement may take is gone, ms. */
const GRACE = 2_000;
/** The claims of the service role's key: `auth.uid()` is nobody's. */
const CLAIMS = JSON.stringify({ role: 'service_role' });
/** Of these rpcs the answer is rows. */
const OF_ROWS = new Set(['list_ai_models']);
/** Rpcs that return a text, which is no JSON by itself. */
const OF_TEXT = new Set(['query_embedding_model']);
/** SQLSTATE of a prepared statement that is not there: the next server of a transaction pooler was given. */
const NOT_PREPARED = '26000';

/** What PostgREST sets for each request. */
const SETTINGS = named(
  'settings',
  `select set_config('request.jwt.claims', $1, true), set_config('request.headers', $2, true),
    set_config('statement_timeout', $3, true)`,
);

/** A pool of connections; none is opened before it is needed. */
export class RpcPool {
  readonly #pool: pg.Pool;
  readonly #statements = new Map<string, Statement>();
  readonly #statementTimeout: number;
  #prepare: boolean;

  constructor({ tls, prepare, min, max, idle, acquire, recycle, statement, ...where }: PoolSettings) {
    this.#prepare = prepare;
    this.#statementTimeout = statement;
    this.#pool = new pg.Pool({
      ...where,
      ssl: tls,
      application_name: 'basemeter_functions',
      ...{ min, max, idleTimeoutMillis: idle, connectionTimeoutMillis: acquire, maxLifetimeSeconds: recycle / 1000 },
      keepAlive: true,
      allowExitOnIdle: true,
    });
    // A connection that the server ended: its call fails too, and an unused one is replaced when it is needed.
    this.#pool.on('error', () => undefined);
    this.#pool.on('connect', (client) => client.on('error', () => undefined));
  }

  /** Calls a function of schema public, as PostgREST would for the service role. `headers` are those of the request. */
  async call(name: string, args: object, headers: Record<string, string>): Promise<RpcAnswer> {
    let client: pg.PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (thrown) {
      return failed(thrown);
    }
    const prepare = this.#prepare;
    const given = Object.entries(args).filter(([, value]) => value !== undefined);
    const statement = this.#statementOf(
      name,
      given.map(([arg]) => arg),
    );
    const query = new Transaction(client, prepare, [
      { ...SETTINGS, values: [CLAIMS, JSON.stringify(headers), String(this.#statementTimeout)] },
      { ...statement, values: given.map(([, value]) => asText(value)) },
    ]);
    let text: string | null;
    try {
      text = await inTime(this.#statementTimeout + GRACE, () => query.sendBy(client));
    } catch (thrown) {
      // After an error of a statement a connection is as good as before; after any other nobody knows.
      client.release(!isOfStatement(thrown));
      if (!prepare || !isOfStatement(thrown) || thrown.code !== NOT_PREPARED) return failed(thrown);
      this.#prepare = false;
      return this.call(name, args, headers); // nothing was executed
    }
    client.release();
    return { data: text ? JSON.parse(text) : null, error: null, status: 200 };
  }

  /** Closes all connections, when their calls have ended. */
  end(): Promise<void> {
    return this.#pool.end();
  }

  #statementOf(rpc: string, args: string[]): Statement {
    const key = `${rpc}(${args})`;
    const known = this.#statements.get(key);
    if (known) return known;
    const given = args.map((arg, index) => `${pg.escapeIdentifier(arg)} => $${index + 1}`);
    const call = `public.${pg.escapeIdentifier(rpc)}(${given})`;
    const statement = named(
      rpc,
      OF_ROWS.has(rpc)
        ? `select to_json(array(select ${call}))`
        : OF_TEXT.has(rpc)
          ? `select to_json(${call})`
          : `select ${call}`,
    );
    this.#statements.set(key, statement);
    return statement;
  }
}

/** A statement whose name says what it is: behind a pooler another process may have prepared it. */
function named(what: string, text: string): Statement {
  return { name: `${what}_${sha256(text).slice(0, 16)}`, text };
}

/** Names of statements that a connection has prepared. */
const preparedBy = new WeakMap<pg.PoolClient, Set<string>>();

interface Statement {
  name: string;
  text: string;
}

/**
 * Statements that are sent together and answered together: one transaction, which ends as a whole. Of their answers the last
 * one counts. This is the form in which `pg` takes queries of one's own (pg-cursor is another).
 */
class Transaction {
  #answer: string | null = null;
  #end!: { resolve(text: string | null): void; reject(error: Error): void };
  readonly #prepared: Set<string>;

  constructor(
    client: pg.PoolClient,
    private readonly prepare: boolean,
    private readonly statements: (Statement & { values: (string | null)[] })[],
  ) {
    this.#prepared = preparedBy.get(client) ?? new Set();
    preparedBy.set(client, this.#prepared);
  }

  /** Sends it and returns the text of the last row's only column. */
  sendBy(client: pg.PoolClient): Promise<string | null> {
    return new Promise((resolve, reject) => {
      this.#end = { resolve, reject };
      client.query(this as pg.Submittable);
    });
  }

  submit(connection: pg.Connection): void {
    const { stream } = connection as unknown as { stream: { cork(): void; uncork(): void } };
    stream.cork();
    for (const { name, text, values } of this.statements) {
      const statement = this.prepare ? name : '';
      if (!this.#prepared.has(statement)) {
        // Closed first, which is no error: an earlier call may have prepared it and failed.
        if (statement) connection.close({ type: 'S', name: statement }, true);
        connection.parse({ name: statement, text, types: [] }, true);
      }
      connection.bind({ statement, values }, true);
      connection.execute({}, true);
    }
    connection.sync();
    stream.uncork();
  }

  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    this.#answer = fields[0] ?? null;
  }

  handleError(error: Error): void {
    this.#end.reject(error);
  }

  handleReadyForQuery(): void {
    if (this.prepare) for (const { name } of this.statements) this.#prepared.add(name);
    this.#end.resolve(this.#answer);
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}

/** What a parameter's type reads: texts of JSON for objects and lists of them, of an array for other lists. */
function asText(value: unknown): string | null {
  if (value === null) return null;
  if (Array.isArray(value) && typeof value[0] !== 'object')
    return `{${value.map((one) => JSON.stringify(String(one))).join()}}`;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** Whether a statement failed, and the connection did not. */
function isOfStatement(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && error.severity === 'ERROR';
}

/** An error in the words of PostgREST, with the status that it gives those without a code and those with a `Retry-After`. */
function failed(thrown: unknown): RpcAnswer {
  if (!(thrown instanceof pg.DatabaseError)) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    // How pg-pool says that no connection became free in time.
    if (message.startsWith('timeout exceeded')) return { data: null, error: { code: NOT_FREE, message }, status: 504 };
    return { data: null, error: { message }, status: 0 };
  }
  const { code, message, detail, hint } = thrown;
  if (code !== 'PGRST') return { data: null, error: { code, message, details: detail, hint }, status: 500 };
  const { status, headers } = JSON.parse(detail ?? '{}');
  return { data: null, error: { ...JSON.parse(message), headers }, status };
}
