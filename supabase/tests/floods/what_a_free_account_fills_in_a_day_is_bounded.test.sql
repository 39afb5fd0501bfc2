-- docs/admin.md states 128 MB. Each surface that a free account can write: the largest row, made as a client makes it of texts
-- that do not compress, times the number that a day allows (which other tests show to hold).
begin;
select plan(6);
select tests.create_user('owner');
select tests.sign_in('owner');
select tests.remember('key', to_jsonb(public.create_api_key('key')) ->> 'id');
select tests.be_postgres();
create function pg_temp.noise(characters integer) returns text language sql as $$
  select left(string_agg(md5(random()::text || n), ''), characters) from generate_series(1, characters / 32 + 1) n
$$;
create temporary table surfaces (name text, rows_a_day numeric, row_bytes integer, workspaces integer default 4);
create function pg_temp.setting(key text) returns numeric language sql as $$ select config_value::numeric from public.system_config where config_key = key $$;

-- Teams: a person has free_teams_per_user besides their own workspace, deleted ones of the month counted.
select is(pg_temp.setting('free_teams_per_user') + 1, 4::numeric, 'a free account has four workspaces');
select is((select jsonb_object_agg(feature_code, feature_limit) from public.plan_features where plan = 'free'),
  '{"requests_per_minute": 10, "requests_per_day": 500, "messages_per_month": 10, "video_jobs_at_once": 1, "sessions_at_once": 1, "seats": 3, "attachment_bytes": 2097152}',
  'with so many calls each');

-- Keys, with their audit rows.
update public.api_keys set name = pg_temp.noise(200), allowed_models = array(select pg_temp.noise(200) from generate_series(1, 100)),
  allowed_scenes = array_fill('image_generation'::public.ai_usage_scene, array[20]);
insert into surfaces select 'keys', pg_temp.setting('api_keys_per_day'), max(pg_column_size(k)), 4 from public.api_keys k;
insert into surfaces select 'hashes of keys', pg_temp.setting('changes_per_day'), max(pg_column_size(h)), 1 from private.api_key_hashes h;
select set_config('request.headers', jsonb_build_object('user-agent', pg_temp.noise(500), 'x-request-id', pg_temp.noise(200),
  'x-forwarded-for', '2001:db8::1')::text, true);
select private.audit('update', 'api_keys', tests.recall('key'), tests.id('owner'), details => jsonb_build_object('a', pg_temp.noise(990), 'b', pg_temp.noise(990)),
  old_values => jsonb_build_object('a', pg_temp.noise(990), 'b', pg_temp.noise(990)), new_values => jsonb_build_object('a', pg_temp.noise(990), 'b', pg_temp.noise(990)));
-- What was made may be removed, revoked or left once besides.
insert into surfaces select 'audit rows', pg_temp.setting('changes_per_day') * 2 + 4 * pg_temp.setting('api_keys_per_day') + pg_temp.setting('invitations_per_day') * 3,
  max(pg_column_size(a)), 1 from public.audit_logs a;

-- Alerts and what they tell.
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('owner'), 'limit_share', 0.123456);
insert into surfaces select 'alerts', 20, max(pg_column_size(a)), 4 from public.credit_alerts a;
select private.notify(tests.id('owner'), 'limit_share', jsonb_build_object('alert_id', gen_random_uuid(), 'threshold', 0.123456, 'api_key_id', gen_random_uuid(),
  'limit', 'period_budget', 'share', 0.1234, 'used', 12345678.123456), now());
insert into surfaces select 'notifications', 2 * 100 * (1 + (select count(*) from unnest(enum_range(null::public.credit_alert_kind)))), max(pg_column_size(n)), 4
  from public.notifications n;

-- Invitations, further addresses.
insert into public.workspace_invitations (workspace_id, email, role, user_id, expires_at)
values (tests.id('owner'), pg_temp.noise(300) || '@example.test', 'member', tests.id('owner'), now());
insert into surfaces select 'invitations', pg_temp.setting('invitations_per_day'), 3 * max(pg_column_size(i)), 1 from public.workspace_invitations i;
insert into public.user_email_aliases (user_id, email) values (tests.id('owner'), pg_temp.noise(300) || '@example.test');
insert into surfaces select 'addresses', 20, max(pg_column_size(e)), 1 from public.user_email_aliases e;

-- Calls: refused, failed (which nobody pays for) and charged ones; what is kept of them has a bound of its own.
insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens) values ('embed', 'Embed', 'embedding', 'up', 0);
select private.set_model_price('embed', '{"input": 1, "output": 0}', '2020-01-01');
create function pg_temp.details() returns jsonb language sql as $$
  select jsonb_build_object('user_agent', pg_temp.noise(500), 'scene_description', pg_temp.noise(500), 'reference_id', pg_temp.noise(500), 'ip_address', '2001:db8::1')
$$;
select public.admit_ai_call(tests.id('owner'), pg_temp.noise(200), 1, request_id => pg_temp.noise(200), details => pg_temp.details());
insert into surfaces select 'rows of refusals by rate or account', 2 * 1440, max(pg_column_size(l)), 4 from public.ai_usage_logs l where l.workspace_id = tests.id('owner');
select tests.remember('hold', public.admit_ai_call(tests.id('owner'), 'embed', 1000, request_id => pg_temp.noise(40), idempotency_key => pg_temp.noise(255),
  request_hash => pg_temp.noise(64), details => pg_temp.details(), api_key_hash => null) ->> 'hold_id');
select public.finish_ai_call(tests.recall('hold')::uuid, 'success', 1000, details => jsonb_build_object('error_message', pg_temp.noise(1000), 'attempts',
  (select jsonb_agg(jsonb_build_object('model', pg_temp.noise(100), 'provider', pg_temp.noise(40), 'error', pg_temp.noise(300), 'status', 500, 'duration', 1000))
   from generate_series(1, 6))));
insert into surfaces select 'rows of calls', 500, max(pg_column_size(l)), 4 from private.ai_usage_logs l where l.workspace_id = tests.id('owner');
insert into surfaces select 'content of calls', 1, pg_temp.setting('kept_content_per_day'), 4;
insert into surfaces select 'holds', 500, max(pg_column_size(h)), 4 from public.credit_holds h where h.workspace_id = tests.id('owner');
insert into surfaces select 'entries', 2 * 500, max(pg_column_size(t)), 4 from public.credit_transactions t where t.workspace_id = tests.id('owner');

-- Videos that fail or are canceled cost nothing.
select tests.offer_video('veo', credits => 1);
select tests.remember('job', public.create_video_job(tests.id('owner'), 'veo', pg_temp.noise(2000), 'https://example.test/' || pg_temp.noise(2000), true,
  jsonb_build_object('negative_prompt', pg_temp.noise(2000)), pg_temp.noise(40), pg_temp.details(), idempotency_key => pg_temp.noise(255), request_hash => pg_temp.noise(64))
  #>> '{job,id}');
select public.update_video_job(tests.recall('job')::uuid, jsonb_build_object('job_id', pg_temp.noise(200), 'status', 'failed', 'error_message', pg_temp.noise(1000)),
  jsonb_build_object('a', pg_temp.noise(12000)));
insert into surfaces select 'video jobs', 500, max(pg_column_size(j)), 4 from public.video_jobs j where j.workspace_id = tests.id('owner');
insert into surfaces select 'idempotency keys', 2 * 500, max(pg_column_size(r)), 4 from private.idempotent_requests r
where r.workspace_id = tests.id('owner') and r.scope in ('ai_calls', 'video_jobs');
insert into surfaces select 'work on video jobs', 500, max(pg_column_size(w)), 4 from private.video_job_work w;

select is((select count(*)::integer from surfaces where row_bytes is null), 0, 'each surface was written');
select is((select count(*)::integer from surfaces), 15, 'all of them');
-- Rows as they are; indexes and page headers come to it.
select diag(format('%s: %s rows of %s bytes in %s', name, rows_a_day, row_bytes, workspaces)) from surfaces where rows_a_day * row_bytes * workspaces > 4000000;
select cmp_ok((select ceil(sum(rows_a_day * row_bytes * workspaces) / 1000000) from surfaces), '<=', 128::numeric, 'in all a free account fills at most 128 MB a day');
select is((select count(*)::integer from pg_catalog.pg_policies p where p.schemaname = 'storage' and p.tablename = 'objects' and p.cmd <> 'SELECT'
  and p.policyname <> 'people can upload the attachments that they registered' -- whose bytes are content
  and p.roles && array['authenticated', 'anon', 'public']::name[] and exists (
    select from supabase_migrations.schema_migrations m
    where m.version ~ '^20261101' and array_to_string(m.statements, '') like '%create policy "' || p.policyname || '"%')),
  0, 'and no file but registered attachments');

select * from finish();
rollback;
