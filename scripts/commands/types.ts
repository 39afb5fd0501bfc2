/** `npm run types`: writes the TypeScript types of the database that the migrations make. */
import { generateTypes, OWN_TYPES_FILE, writeTypes } from '../testing/generated-types.ts';
import { hasOwnMigrations, withMigratedDatabase } from '../testing/migrated-database.ts';

/** Writes supabase/functions/_shared/database.types.ts, and supabase/database.types.ts for a project with own migrations. */
export async function run(): Promise<undefined> {
  await withMigratedDatabase(async (adminUrl, addOwn) => {
    writeTypes(await generateTypes(adminUrl));
    console.log('Wrote supabase/functions/_shared/database.types.ts');
    if (!hasOwnMigrations()) return;
    await addOwn();
    writeTypes(await generateTypes(adminUrl), OWN_TYPES_FILE);
    console.log('Wrote supabase/database.types.ts, with the tables and functions of your own migrations');
  });
}
