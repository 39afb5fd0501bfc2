/** A database that a test run may spoil: the empty one that DATABASE_URL names. */
import { checkSuperuser, recreateDatabase, withClient } from './database.ts';
import { StackError } from './errors.ts';

const MARK = 'scratch database of a test run';

/**
 * Makes the database of DATABASE_URL ready for tests. It has to be empty, or left over from an interrupted test run
 * (then it is emptied): tests never run on a database somebody works with. Throws a StackError otherwise.
 */
export async function claimTestDatabase(databaseUrl: string): Promise<void> {
  await checkSuperuser(databaseUrl);
  const { used, mark } = await withClient(databaseUrl, async (client) => {
    const result = await client.query(`
      select exists (select from pg_namespace where nspname = 'auth') as used,
             shobj_description(oid, 'pg_database') as mark
        from pg_database where datname = current_database()`);
    return result.rows[0];
  });
  if (used && mark !== MARK) {
    throw new StackError('The database of DATABASE_URL holds a project, which tests would spoil; name an empty one.');
  }
  if (used) await recreateDatabase(databaseUrl);
  const name = new URL(databaseUrl).pathname.slice(1);
  await withClient(databaseUrl, (client) => client.query(`comment on database "${name}" is '${MARK}'`));
}

/** Empties the database again. */
export const releaseTestDatabase = recreateDatabase;
