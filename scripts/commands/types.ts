/** `npm run types`: writes the TypeScript types and the schema of the database that the migrations make. */
import { generateTypes, OWN_TYPES_FILE, writeTypes } from '../testing/generated-types.ts';
import { withMigratedDatabase } from '../testing/migrated-database.ts';
import { hasOwnMigrations } from '../testing/modules.ts';
import { dumpSchema, SCHEMA_FILE } from '../testing/schema-dump.ts';

/**
 * Writes supabase/functions/_shared/database.types.ts and supabase/schema.sql, and supabase/database.types.ts for a project
 * with migrations of its own.
 */
export async function run(): Promise<undefined> {
  await withMigratedDatabase(async (adminUrl, addOwn) => {
    writeTypes(await generateTypes(adminUrl));
    writeTypes(await dumpSchema(adminUrl), SCHEMA_FILE);
    console.log('Wrote supabase/functions/_shared/database.types.ts and supabase/schema.sql');
    if (!hasOwnMigrations()) return;
    await addOwn();
    writeTypes(await generateTypes(adminUrl), OWN_TYPES_FILE);
    console.log('Wrote supabase/database.types.ts, with the tables and functions of your own migrations');
  });
}
