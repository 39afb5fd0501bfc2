/** Gives every test file a running stack of a small project. */
import type { TestProject } from 'vitest/node';
import { type LocalSupabase, startLocalSupabase } from '../../index.ts';
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
  const ports = { apiPort: 0, dbPort: 0 };
  const { env, urls, stop } = await startLocalSupabase({
    ...{ projectDir, dataDir, denoDir: DENO_DIR, ...ports, durable: false },
    onProgress: (line) => console.log(line),
  });
  const { database, databaseAdmin } = urls;
  project.provide('localSupabase', { env, urls: { database, databaseAdmin } });
  return async () => {
    await stop();
    remove();
  };
}
