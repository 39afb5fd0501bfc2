/** The whole of the migrations on a Postgres with pgvector, in this process: neither npm's Postgres nor Debian's has it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { pgcrypto } from '@electric-sql/pglite/contrib/pgcrypto';
import { uuid_ossp } from '@electric-sql/pglite/contrib/uuid_ossp';
import { vector } from '@electric-sql/pglite-pgvector';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { ourMigrations } from '../../scripts/testing/modules.ts';

/** Makes a database; the caller closes it. */
export async function newVectorDatabase(): Promise<PGlite> {
  const db = await PGlite.create({ extensions: { vector, pgcrypto, uuid_ossp } });
  await db.exec(readFileSync(join(PROJECT_DIR, 'packages/local-supabase/src/base-schema.sql'), 'utf8'));
  for (const { text } of ourMigrations()) await db.exec(`begin; ${text}; commit`);
  return db;
}
