/** Gives every test file a running stack of a small project, on the empty database of DATABASE_URL if that is set. */
import type { TestProject } from 'vitest/node';
import { claimTestDatabase, type LocalSupabase, releaseTestDatabase, startLocalSupabase } from '../../index.ts';
import { DENO_DIR } from './deno-dir.ts';
import { makeSmallProject } from './small-project.ts';

declare module 'vitest' {
  interface ProvidedContext {
    localSupabase: Pick<LocalSupabase, 'env'> & { urls: { database: string; databaseAdmin: string } };
  }
}

/** A table that shows people their own rows. */
const PEOPLE = `
  create table public.people (id uuid primary key references auth.users);
  alter table public.people enable row level security;
  create policy "people see themselves" on public.people for select to authenticated using (id = (select auth.uid()));
  grant select on public.people to authenticated, service_role;`;

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const { projectDir, dataDir, write, remove } = makeSmallProject();
  write('supabase/migrations/20260102000000_people.sql', PEOPLE);
  const databaseUrl = process.env.DATABASE_URL;
  if (databaseUrl) await claimTestDatabase(databaseUrl);
  const { env, urls, stop } = await startLocalSupabase({
    ...{ projectDir, dataDir, databaseUrl, denoDir: DENO_DIR, apiPort: 0, dbPort: 0, durable: false },
    onProgress: (line) => console.log(line),
  });
  const { database, databaseAdmin } = urls;
  project.provide('localSupabase', { env, urls: { database, databaseAdmin } });
  return async () => {
    await stop();
    if (databaseUrl) await releaseTestDatabase(databaseUrl);
    remove();
  };
}
