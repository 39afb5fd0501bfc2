/** What docs/deploy.md has a project run: supabase/production.sql and `npm run smoke`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { run as smoke } from '../../scripts/commands/smoke.ts';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { env, sql, sqlAs } from '../support/stack.ts';

test('production.sql puts models, prices and products on offer, and can be run again', async () => {
  const template = readFileSync(join(PROJECT_DIR, 'supabase/production.sql'), 'utf8').replace(
    /^(begin|commit);$/gm,
    '',
  );
  const client = await sqlAs('postgres');
  try {
    await client.query('begin');
    await client.query(template);
    await client.query(template);
    const { rows } = await client.query(`
      select (select count(*)::int from public.models where model in ('gpt-4o-mini', 'text-embedding-3-small')) as models,
        (select count(*)::int from public.payment_products where product_id ~ '_YOUR_') as products,
        private.config('payment_mode') as mode`);
    expect(rows).toEqual([{ models: 2, products: 2, mode: 'test' }]);
  } finally {
    await client.query('rollback');
    await client.end();
  }
});

test('npm run smoke passes on a project that works, and fails where a model does not answer', async () => {
  await sql(`insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens)
    values ('smoked', 'Smoked', 'text_chat', 'smoked', 100)`);
  await sql(`select private.set_model_price('smoked', '{"input": 100, "output": 100}', '2020-01-01')`);
  vi.stubEnv('API_URL', env.API_URL)
    .stubEnv('PUBLISHABLE_KEY', env.PUBLISHABLE_KEY)
    .stubEnv('SECRET_KEY', env.SECRET_KEY);
  const said = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  const failed = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  expect([await smoke(['smoked']), failed.mock.calls]).toEqual([0, []]);
  expect(said).toHaveBeenCalledTimes(10);
  expect(await smoke(['no such model'])).toBe(1);
  expect(failed.mock.calls.join()).toMatch(/an AI call is answered: 404/);
  expect(await sql(`select from auth.users where email like 'smoke-%'`)).toEqual([]);
});
