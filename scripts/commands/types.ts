/** `npm run types`: writes the TypeScript types of the database that the migrations make. */
import { generateTypes, writeTypes } from '../testing/generated-types.ts';
import { withMigratedDatabase } from '../testing/migrated-database.ts';

/** Writes supabase/functions/_shared/database.types.ts. */
export async function run(): Promise<undefined> {
  writeTypes(await withMigratedDatabase(generateTypes));
  console.log('Wrote supabase/functions/_shared/database.types.ts');
}
