/** What happens inside the database server: roles and base schema, migrations, seed, and starting over. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { findSupabaseCli } from './binaries.ts';
import { messageOf, StackError } from './errors.ts';
import { ROLE_PASSWORD } from './postgres.ts';
import { runTool } from './processes.ts';

/** The URL of the same database for another role (all roles of a local stack have one password). */
export function urlForRole(adminUrl: string, role: string): string {
  const url = new URL(adminUrl);
  url.username = role;
  url.password = ROLE_PASSWORD;
  return url.href;
}

/** Runs `work` on a connection of its own, which is closed afterwards. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** SQLSTATEs of a server that ends, starts or takes no more connections, beside all of class 08 (connection exceptions). */
const SERVER_DOWN = /^(08...|57P0[1-3]|53300)$/;

/**
 * Whether a query failed because the server is down or went away meanwhile: it may be tried again. Errors of our own
 * sockets have a `syscall`; a client's upload that breaks off has the code ECONNRESET as well, without one.
 */
export function isServerDown(thrown: unknown): boolean {
  if (thrown instanceof pg.DatabaseError) return SERVER_DOWN.test(thrown.code ?? '');
  if (thrown instanceof AggregateError) return thrown.errors.every(isServerDown);
  if (!(thrown instanceof Error)) return false;
  const { code, syscall } = thrown as NodeJS.ErrnoException;
  if (syscall) return /^(ECONN|EPIPE|ETIMEDOUT)/.test(code ?? '');
  return /^(Connection terminated|Client has encountered a connection error)/.test(thrown.message);
}

async function exists(url: string, schema: string): Promise<boolean> {
  const found = await withClient(url, (client) =>
    client.query('select from pg_namespace where nspname = $1', [schema]),
  );
  return found.rowCount === 1;
}

/**
 * Gives an empty database what a Supabase project has before its first migration. `adminUrl` is a superuser's.
 * Throws a StackError where the server's role `postgres` is a superuser: rules would pass here and fail when hosted.
 */
export async function applyBaseSchema(adminUrl: string): Promise<void> {
  const sql = readFileSync(new URL('./base-schema.sql', import.meta.url), 'utf8');
  await withClient(adminUrl, async (client) => {
    const role = await client.query(`select rolsuper from pg_roles where rolname = 'postgres'`);
    if (role.rows[0]?.rolsuper) {
      throw new StackError(
        'The role postgres of this server is a superuser, which it is not on Supabase; ' +
          'make a server whose superuser has another name (initdb -U supabase_admin).',
      );
    }
    await client.query(sql);
    await offerPgCron(client);
  });
}

/** Where the server preloads pg_cron for this database, installs it and hands it to `postgres`, as Supabase does. */
async function offerPgCron(client: pg.Client): Promise<void> {
  const ready = await client.query(`
    select from pg_available_extensions
     where name = 'pg_cron' and current_setting('cron.database_name', true) = current_database()`);
  if (ready.rowCount === 0) return;
  await client.query(`
    create extension if not exists pg_cron with schema pg_catalog;
    grant usage on schema cron to postgres with grant option;
    grant all on all tables in schema cron to postgres with grant option;
    grant all on all functions in schema cron to postgres with grant option`);
}

/**
 * Brings a database up to date: the base schema if it has none, the pending migrations, and seed.sql (where `seed` is
 * true) if no migration had been applied before.
 */
export async function prepareDatabase(adminUrl: string, projectDir: string, seed: boolean): Promise<void> {
  if (!(await exists(adminUrl, 'auth'))) await applyBaseSchema(adminUrl);
  const isNew = !(await exists(adminUrl, 'supabase_migrations'));
  await migrate(adminUrl, { projectDir, seed: seed && isNew });
}

/**
 * Applies the pending migrations of `<projectDir>/supabase/migrations` with the Supabase CLI, as role `postgres`, and
 * seed.sql after them when asked to. Throws a StackError that names the failing file and the database's own words.
 */
async function migrate(adminUrl: string, options: { projectDir: string; seed: boolean }): Promise<void> {
  const target = ['db', 'push', `--remote=${urlForRole(adminUrl, 'postgres')}`, '--yes'];
  const { code, output } = await runSupabase(options.seed ? [...target, '--include-seed'] : target, options.projectDir);
  if (code !== 0) throw new StackError(explainPush(output));
}

/**
 * The files of applied migrations that have changed since: the database is not what they say, and pushing does not mend
 * it. Comments and white space count for nothing; the CLI notes the statements that it ran.
 */
export async function changedMigrations(adminUrl: string, projectDir: string): Promise<string[]> {
  const folder = join(projectDir, 'supabase/migrations');
  const applied = await withClient(adminUrl, (client) =>
    client.query<{ file: string; ran: string }>(`
      select version || '_' || name || '.sql' as file, array_to_string(statements, ';') as ran
        from supabase_migrations.schema_migrations order by version`),
  );
  const files = new Set(readdirSync(folder));
  const gist = (text: string): string => text.replace(/--.*$/gm, '').replace(/[\s;]+/g, '');
  return applied.rows
    .filter(({ file, ran }) => files.has(file) && gist(readFileSync(join(folder, file), 'utf8')) !== gist(ran))
    .map(({ file }) => file);
}

/** Runs the Supabase CLI on a project folder, without its telemetry and update check (it must work offline). */
export function runSupabase(
  args: string[],
  projectDir: string,
): Promise<{ code: number; output: string; stdout: string }> {
  const quiet = { DO_NOT_TRACK: '1', SUPABASE_TELEMETRY_DISABLED: '1', SUPABASE_NO_UPDATE_NOTIFIER: '1' };
  return runTool(process.execPath, [findSupabaseCli(), '--agent=no', `--workdir=${projectDir}`, ...args], {
    env: { ...process.env, ...quiet, PGSSLMODE: 'disable' },
    cwd: projectDir,
  });
}

function explainPush(output: string): string {
  const lines = output.split('\n').map((line) => line.trim());
  const from = lines.findIndex((line) => /^(ERROR|failed|error)\b/i.test(line));
  const words = lines
    .slice(from === -1 ? 0 : from)
    .filter((line) => !/^(\^?|Try rerunning.*)$/.test(line))
    .map((line) => line.replace(/^At statement: (\d+)$/, '(its statement $1:)'))
    .slice(0, 6)
    .join(' ');
  if (/migration versions? not found in local/i.test(output)) {
    return 'The database has migrations whose files are gone or renamed; a reset builds it again from the files.';
  }
  const file = output.match(/^(?:Applying migration|Seeding data from) (.*?)\.\.\.$/gm)?.at(-1);
  const name = file?.replace(/^(Applying migration|Seeding data from) /, '').replace(/\.\.\.$/, '');
  return name ? `Migration ${name} failed: ${words}` : `The migrations could not be applied: ${words}`;
}

/** Gives a role that the migrations made the password that all roles of a local stack have. */
export async function letIn(adminUrl: string, role: string): Promise<void> {
  const statement = `alter role ${pg.escapeIdentifier(role)} login password ${pg.escapeLiteral(ROLE_PASSWORD)}`;
  await withClient(adminUrl, (client) => client.query(statement));
}

/** Builds the database again: base schema, migrations, seed.sql. */
export async function resetDatabase(adminUrl: string, projectDir: string): Promise<void> {
  await recreateDatabase(adminUrl);
  try {
    await prepareDatabase(adminUrl, projectDir, true);
  } catch (error) {
    const hint = 'The old database is gone and the new one is unfinished: fix this and reset again.';
    throw new StackError(`${messageOf(error)}\n${hint}`);
  }
}

/** Drops the database and makes it anew, empty. Whoever is connected to it loses the connection. */
export async function recreateDatabase(adminUrl: string): Promise<void> {
  const elsewhere = new URL(adminUrl);
  const name = decodeURIComponent(elsewhere.pathname.slice(1));
  elsewhere.pathname = '/template1';
  await withClient(elsewhere.href, async (client) => {
    await client.query(`drop database if exists ${pg.escapeIdentifier(name)} with (force)`);
    // template0: nobody can be connected to it, which would make this fail.
    await client.query(`create database ${pg.escapeIdentifier(name)} template template0`);
  });
}

/** Checks a DATABASE_URL: reachable, and a superuser's. Throws a StackError that says what is off. */
export async function checkSuperuser(databaseUrl: string): Promise<void> {
  let isSuperuser: boolean;
  try {
    isSuperuser = await withClient(databaseUrl, async (client) => {
      const result = await client.query('select rolsuper from pg_roles where rolname = current_user');
      return result.rows[0]?.rolsuper === true;
    });
  } catch (error) {
    throw new StackError(
      `The database of DATABASE_URL can't be reached (${messageOf(error)}); check the URL and the server.`,
    );
  }
  if (!isSuperuser)
    throw new StackError('DATABASE_URL has to be the URL of a superuser, because roles are made with it.');
}
