begin;
select plan(15);
select tests.create_user('owner');

select set_has($$ select c.relname::text from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'private.ai_usage_logs'::regclass $$,
  $$ select 'ai_usage_logs_' || to_char((now() at time zone 'UTC') + make_interval(months => ahead), 'YYYY_MM')
    from generate_series(0, 3) ahead $$,
  'this month and the next three have theirs');
select is(private.make_usage_log_partition(date_trunc('month', now() at time zone 'UTC')::date), false,
  'one that exists is not made again');

insert into private.ai_usage_logs (workspace_id, user_id, scene, status, model, prompt_tokens, completion_tokens,
  created_at)
select tests.id('owner'), tests.id('owner'), 'other', 'success', at, 3, 4, at::timestamptz
from unnest(array['2051-05-01 00:00+00', '2051-05-31 23:59:59.999999+00', '2051-06-01 00:00+00']) at;
select results_eq($$ select count(*), min(tableoid::regclass::text) from private.ai_usage_logs
  where created_at > '2051-01-01' $$,
  $$ values (3::bigint, 'private.ai_usage_logs_default') $$, 'rows without one wait in the default');

select is(private.make_usage_log_partition('2051-05-01'), true, 'a month''s partition is made');
select results_eq($$ select tableoid::regclass::text, model, total_tokens from private.ai_usage_logs
  where created_at > '2051-01-01' order by created_at $$,
  $$ values ('private.ai_usage_logs_2051_05', '2051-05-01 00:00+00', 7),
    ('private.ai_usage_logs_2051_05', '2051-05-31 23:59:59.999999+00', 7),
    ('private.ai_usage_logs_default', '2051-06-01 00:00+00', 7) $$, 'and takes its rows, by UTC');
select is(private.make_usage_log_partition('2051-06-01'), true, 'the next one');
select is_empty('select * from private.ai_usage_logs_default', 'leaves nothing behind');
select is((select sum(total_requests) from public.ai_usage_statistics where date > '2051-01-01'), 3::bigint,
  'and counts no row again');

select throws_ok($$ insert into private.ai_usage_logs_2051_05 (workspace_id, scene, status, model, created_at,
  prompt_tokens, cached_tokens) values (tests.id('owner'), 'other', 'success', 'x', '2051-05-02', 1, 2) $$,
  '23514', null, 'a new partition has the checks');
select throws_ok($$ insert into private.ai_usage_logs (workspace_id, scene, status, model, created_at)
  values (tests.id('nobody'), 'other', 'success', 'x', '2051-05-02') $$,
  '23503', null, 'and the keys');
select is((select count(*) from pg_catalog.pg_indexes
  where schemaname = 'private' and tablename = 'ai_usage_logs_2051_05'), 7::bigint, 'and the indexes');
select isnt_empty($$ select from pg_catalog.pg_trigger
  where tgrelid = 'private.ai_usage_logs_2051_05'::regclass and tgname = 'ai_usage_logs_forget_person' $$,
  'and the trigger');

select is_empty($$ select i.inhrelid::regclass from pg_catalog.pg_inherits i join pg_catalog.pg_attribute a
  on a.attrelid = i.inhrelid and a.attname = 'workspace_id'
  where i.inhparent = 'private.ai_usage_logs'::regclass and a.attstattarget is distinct from 0 $$,
  'like all others it has no statistics of the workspace, by which the newest calls would be sorted');

update public.system_config set config_value = '4' where config_key = 'usage_log_partitions_ahead';
select is(private.make_next_usage_log_partition(now()), true, 'the setting says how many');
select is(private.make_next_usage_log_partition(now()), false, 'and then there are enough');

select * from finish();
rollback;
