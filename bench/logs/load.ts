/** A year of calls for many accounts, written straight into the tables; for the benchmarks that read them. */
import type pg from 'pg';

/** The year is 2026, to the 26th of December. */
export const DAYS = 360;

/** SQL for the id of account number `number`, once `loadAccounts` has run on the connection. */
export const accountId = (number: number | string): string => `pg_temp.account(${number})`;

/** Accounts number `from` to `to` with their personal workspaces. */
export async function loadAccounts(client: pg.Client, from: number, to: number): Promise<void> {
  await client.query(`
    create or replace function pg_temp.account(number bigint) returns uuid language sql immutable as $$ select md5('user ' || number)::uuid $$`);
  await withoutTriggers(client, async () => {
    await client.query(
      `insert into auth.users (id, email, is_anonymous) select pg_temp.account(n), 'u' || n || '@example.test', false from generate_series($1::bigint, $2) n`,
      [from, to],
    );
    await client.query(`insert into public.workspaces (id, name, personal_user_id)
      select id, 'Personal', id from auth.users u where not exists (select from public.workspaces w where w.id = u.id)`);
    await client.query(`insert into public.users (id) select id from public.workspaces on conflict do nothing`);
    await client.query(`insert into public.workspace_members (workspace_id, user_id, role)
      select id, id, 'owner' from public.workspaces on conflict do nothing`);
  });
  await client.query('vacuum analyze public.workspaces, public.users, public.workspace_members');
}

/**
 * So many calls a day in each of their workspaces, made by the account itself, or in turns by it and the next ones up to
 * `authors` in all; each row takes about so many bytes.
 */
export async function loadLog(
  client: pg.Client,
  {
    from,
    to,
    bytes,
    callsADay,
    authors = 1,
  }: Record<'from' | 'to' | 'bytes' | 'callsADay', number> & { authors?: number },
): Promise<void> {
  await client.query(
    `select private.make_usage_log_partition(m::date) from generate_series('2026-01-01'::date, '2026-12-01', '1 month') m`,
  );
  // Texts of random hex, which does not compress to nothing as repeated words would.
  const hashes = Math.max(Math.round((bytes - 400) / 32), 1); // a row has some 400 bytes besides its texts
  await client.query(`create temporary table if not exists bodies as
    select n as number, (select string_agg(md5(random()::text || n || i), '') from generate_series(1, ${hashes}) i) as body from generate_series(0, 999) n`);
  // By the day, as rows come in in life.
  await withoutTriggers(client, async () => {
    for (let day = 0; day < DAYS; day += 1) {
      await client.query(
        `insert into private.ai_usage_logs (workspace_id, user_id, created_at, scene, status, usage_source, model, prompt_tokens,
           completion_tokens, duration, estimated_cost, credits_charged, request_id, request_data, response_data)
         select pg_temp.account(n), pg_temp.account($1 + (n - $1 + ($3 + c) % $5) % ($2 - $1 + 1)),
           '2026-01-01'::timestamptz + make_interval(days => $3, secs => c * 8000 + n % 3600),
           (array['text_chat', 'embedding'])[1 + c % 2]::public.ai_usage_scene, 'success', 'reported', 'model-' || c % 3, 100, 50, 900, 0.001, 0.1,
           'req_' || md5(n::text || ' ' || $3 || ' ' || c), jsonb_build_object('model', 'm', 'temperature', 0.5), jsonb_build_object('text', t.body)
         from generate_series($1::bigint, $2::bigint) n cross join generate_series(1, $4::integer) c join bodies t on t.number = (n * 7 + c) % 1000`,
        [from, to, day, callsADay, authors],
      );
    }
  });
  await client.query('vacuum analyze private.ai_usage_logs');
  await client.query('checkpoint'); // or what was loaded is written out while the rest is measured
}

/** The statistics that the trigger would have made of 10 calls a day. */
export async function loadStatistics(client: pg.Client, from: number, to: number): Promise<void> {
  await withoutTriggers(client, async () => {
    await client.query(
      `insert into private.usage_by_day (workspace_id, user_id, day, scene, model, first_call_at, last_call_at, requests,
         success_requests, failed_requests, canceled_requests, refused_requests, prompt_tokens, completion_tokens, duration,
         cost, credits, free_credits)
       select pg_temp.account(n), pg_temp.account(n), day, (array['text_chat', 'embedding'])[1 + c % 2]::public.ai_usage_scene,
         'model-' || c % 3, day, day, count(*), count(*), 0, 0, 0, 100 * count(*), 50 * count(*), 900 * count(*),
         0.001 * count(*), 0.1 * count(*), 0
       from generate_series($1::bigint, $2) n
       cross join generate_series('2026-01-01'::date, '2026-01-01'::date + ${DAYS - 1}, interval '1 day') day
       cross join generate_series(1, 10) c
       group by n, day, c % 2, c % 3`,
      [from, to],
    );
  });
  await client.query('vacuum analyze private.usage_by_day');
  await client.query('checkpoint');
}

/** Triggers and foreign keys are off meanwhile: they would do the statistics row by row. */
export async function withoutTriggers(client: pg.Client, load: () => Promise<void>): Promise<void> {
  await client.query(`set session_replication_role = replica; set synchronous_commit = off`);
  await load();
  await client.query(`set session_replication_role = origin; reset synchronous_commit`);
}
