-- pgTAP and the helpers that the other files use. Runs first, commits, and may run again.

begin;

create extension if not exists pgtap with schema extensions;

-- Where postgres made the extension, the schema's defaults keep its functions from everyone else.
do $$
declare
  assertion regprocedure;
begin
  for assertion in
    select p.oid
    from pg_catalog.pg_extension e
    join pg_catalog.pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
    join pg_catalog.pg_proc p on d.classid = 'pg_proc'::regclass and d.objid = p.oid
    where e.extname = 'pgtap' and p.proowner = current_user::regrole
  loop
    execute format('grant execute on function %s to public', assertion);
  end loop;
end;
$$;

-- Tests act at fixed times, and pass the time of a month in one call.
update public.system_config set maximum = 36500 * 1440, config_value = to_jsonb(36500 * case config_key
  when 'max_backdating_days' then 1 else 1440 end)
where config_key in ('max_backdating_days', 'max_clock_skew_minutes');

-- Helpers name tables of modules that a database may do without (npm test -- --modules).
set local check_function_bodies = off;

create schema if not exists tests;
comment on schema tests is 'Helpers of the pgTAP files; exists in test databases only.';
grant usage on schema tests to anon, authenticated, service_role;

create or replace function tests.id(name text) returns uuid
language sql immutable set search_path = ''
as $$ select md5(name)::uuid $$;
comment on function tests.id(text) is 'The id of the account or team with this name: names stand for ids in the tests.';

create or replace function tests.create_user(
  name text, email text default 'by name', is_anonymous boolean default false, metadata jsonb default '{}'
) returns uuid
language sql set search_path = ''
as $$
  insert into auth.users (instance_id, id, email, is_anonymous, raw_user_meta_data, aud, role)
  values ('00000000-0000-0000-0000-000000000000', tests.id(name), case email when 'by name' then name || '@example.test' else email end, is_anonymous, metadata,
    'authenticated', 'authenticated')
  returning id
$$;
comment on function tests.create_user(text, text, boolean,
  jsonb) is 'Signs an account up, as Supabase Auth would write it.';

create or replace function tests.create_guest(name text) returns uuid
language sql set search_path = ''
as $$ select tests.create_user(name, null, is_anonymous => true) $$;
comment on function tests.create_guest(text) is 'Signs an anonymous account up: its wallet is empty.';

create or replace function tests.create_team(name text) returns uuid
language sql set search_path = ''
as $$
  insert into public.workspaces (id, name) values (tests.id(name), name) returning id
$$;
comment on function tests.create_team(text) is 'A workspace that is nobody''s own.';

create or replace function tests.join_team(team text, person text, role public.workspace_role default 'member') returns void
language sql set search_path = ''
as $$
  insert into public.workspace_members (workspace_id, user_id, role) values (tests.id(team), tests.id(person), role)
$$;
comment on function tests.join_team is 'Makes a person a member of a team.';

create or replace function tests.put_on_plan(name text, plan text) returns void
language sql set search_path = ''
as $$ update public.workspaces w set plan = put_on_plan.plan where w.id = tests.id(put_on_plan.name) $$;
comment on function tests.put_on_plan(text, text) is 'Puts a team, or a person''s own workspace, on a plan.';

create or replace function tests.limit_plans(feature text, most numeric, only_plan text default null) returns void
language sql set search_path = ''
as $$
  insert into public.plan_features (plan, feature_code, feature_limit)
  select p.plan, feature, most from public.plans p where p.plan = coalesce(only_plan, p.plan)
  on conflict (plan, feature_code) do update set feature_limit = excluded.feature_limit
$$;
comment on function tests.limit_plans is 'Sets what every plan, or one, has of a feature; null: no limit.';

create or replace function tests.act_as(role_name text, claims jsonb) returns void
language plpgsql set search_path = ''
as $$
begin
  perform set_config('request.jwt.claims', coalesce(claims::text, ''), true);
  perform set_config('role', role_name, true);
end;
$$;
comment on function tests.act_as(text, jsonb) is 'Takes on a role and its token''s claims until the transaction ends.';

create or replace function tests.sign_in(name text) returns void
language sql set search_path = ''
as $$
  select tests.act_as('authenticated', jsonb_build_object('sub', tests.id(name), 'role', 'authenticated'))
$$;
comment on function tests.sign_in(text) is 'What follows is done by this person, through the API.';

create or replace function tests.be_anonymous() returns void
language sql set search_path = ''
as $$ select tests.act_as('anon', '{"role": "anon"}') $$;
comment on function tests.be_anonymous() is 'What follows is done by a client that is not signed in.';

create or replace function tests.be_service() returns void
language sql set search_path = ''
as $$ select tests.act_as('service_role', '{"role": "service_role"}') $$;
comment on function tests.be_service() is 'What follows is done by the project''s functions.';

create or replace function tests.be_postgres() returns void
language sql set search_path = ''
as $$ select tests.act_as('none', null) $$;
comment on function tests.be_postgres() is 'What follows is done by the owner of the schema.';

create or replace function tests.remember(name text, value anyelement) returns void
language plpgsql set search_path = ''
as $$
begin
  perform set_config('tests.' || name, coalesce(value::text, ''), true);
end;
$$;
comment on function tests.remember(text,
  anyelement) is 'Keeps a value (an id that the database made) for the rest of the file.';

create or replace function tests.recall(name text) returns text
language sql stable set search_path = ''
as $$ select nullif(current_setting('tests.' || name), '') $$;
comment on function tests.recall(text) is 'What remember kept.';

create or replace function tests.wallet(name text) returns text
language sql stable set search_path = ''
as $$
  select format('balance %s, total %s, spent %s, expired %s, held %s', trim_scale(w.credits_balance),
    trim_scale(w.credits_total), trim_scale(w.credits_spent), trim_scale(w.credits_expired), trim_scale(w.credits_held))
  from public.credit_wallets w where w.workspace_id = tests.id(wallet.name)
$$;
comment on function tests.wallet(text) is 'A wallet in words, as the current role sees it.';

create or replace function tests.grants(name text) returns text
language sql stable set search_path = ''
as $$
  select string_agg(format('%s of %s %s', trim_scale(g.remaining), trim_scale(g.amount), g.kind), ', '
    order by g.created_at)
  from public.credit_grants g where g.workspace_id = tests.id(grants.name)
$$;
comment on function tests.grants(text) is 'A wallet''s grants in words, oldest first.';

create or replace function tests.ledger(name text) returns text
language sql stable set search_path = ''
as $$
  select string_agg(format('%s %s %s', t.transaction_type, trim_scale(t.amount), t.reason), ', ' order by t.id)
  from public.credit_transactions t where t.workspace_id = tests.id(ledger.name)
$$;
comment on function tests.ledger(text) is 'A wallet''s entries in words, oldest first.';

create or replace function tests.last_entry(name text) returns bigint
language sql stable set search_path = ''
as $$ select max(t.id) from public.credit_transactions t where t.workspace_id = tests.id(last_entry.name) $$;
comment on function tests.last_entry(text) is 'The id of a wallet''s newest entry.';

create or replace function tests.grant_changes(entry_id bigint) returns text
language sql stable set search_path = ''
as $$
  select string_agg(format('%s %s', trim_scale((l.value ->> 'amount')::numeric), g.kind), ', ' order by l.ordinality)
  from public.credit_transactions t, jsonb_array_elements(to_jsonb(t.grant_changes)) with ordinality l
  join public.credit_grants g on g.id = (l.value ->> 'grant_id')::uuid
  where t.id = entry_id
$$;
comment on function tests.grant_changes(bigint) is 'What an entry changed of which grants, in words, in its order.';

create or replace function tests.hide_yours() returns void
language plpgsql set search_path = ''
as $$
declare
  ours text[] := array(
    select lower(named[1])
    from supabase_migrations.schema_migrations m, unnest(m.statements) s,
      regexp_matches(s, '^\s*create (?:or replace )?(?:table|view|function|type|domain) ((?:public|private)\.\w+)', 'gni') named
    where m.version ~ '^20261101');
  statement text;
begin
  create schema if not exists yours;
  foreach statement in array array(
    select format('drop trigger %I on %s', t.tgname, c.oid::regclass)
    from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and not t.tgisinternal
      and not c.relispartition and format('%s.%s', c.relnamespace::regnamespace, c.relname) <> all (ours)
  ) || array(
    select format('alter %s %s set schema yours', case c.relkind when 'v' then 'view' when 'c' then 'type' else 'table' end,
      c.oid::regclass)
    from pg_catalog.pg_class c
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p', 'v', 'c')
      and not c.relispartition and format('%s.%s', c.relnamespace::regnamespace, c.relname) <> all (ours)
    union all
    select format('alter function %s set schema yours', p.oid::regprocedure) from pg_catalog.pg_proc p
    where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
      and format('%s.%s', p.pronamespace::regnamespace, p.proname) <> all (ours)
    union all
    select format('alter type %s set schema yours', t.oid::regtype) from pg_catalog.pg_type t
    where t.typnamespace in ('public'::regnamespace, 'private'::regnamespace) and t.typtype in ('e', 'd')
      and format('%s.%s', t.typnamespace::regnamespace, t.typname) <> all (ours)
  ) loop
    execute statement;
  end loop;
end;
$$;
comment on function tests.hide_yours() is
  'Moves what Basemeter''s migrations (files 20261101…) do not create out of public and private, until the transaction ends: rules about every table or function are about Basemeter''s, not about those of a project that uses it.';

create or replace function tests.sell(
  product text, credits numeric, plan text default null, trial_credits numeric default 0, expires_after_days integer default null
) returns void
language sql set search_path = ''
as $$
  insert into public.payment_products (platform, product_id, name, plan, billing_period, credits, trial_credits,
    expires_after_days, amount, currency)
  values ('creem', product, product, plan, case when plan is not null then 'month' end::public.billing_period, credits,
    trial_credits, expires_after_days, 1000, 'USD')
$$;
comment on function tests.sell is 'Puts a plan, or without plan a pack, on sale.';

create or replace function tests.deliver(
  event_id text, facts jsonb, occurred_at timestamptz default '2026-01-01', at timestamptz default '2026-01-01'
) returns text
language sql set search_path = ''
as $$
  select public.receive_payment_event('creem', event_id, 'test', occurred_at, '{}', jsonb_build_object('rank', 0) || facts,
    at => at) ->> 'state'
$$;
comment on function tests.deliver is 'An event of the platform arrives. What became of it: applied, failed or ignored.';

create or replace function tests.paid_period(
  product text, starts_at timestamptz, owner text default null, subscription text default 'sub_1', amount integer default 1000,
  units integer default 1, length interval default '30 days'
) returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'customer', jsonb_build_object('id', replace(subscription, 'sub', 'cust'), 'email', 'payer@example.test'),
    'owner', case when owner is not null then jsonb_build_object('user_id', tests.id(owner)) end,
    'subscription', jsonb_build_object('id', subscription, 'status', 'active', 'product_id', product, 'units', units,
      'period_start', starts_at, 'period_end', starts_at + length, 'cancel_at_period_end', false),
    'period', jsonb_build_object('start', starts_at, 'end', starts_at + length, 'is_paid', true, 'product_id', product,
      'units', units),
    'payment', jsonb_build_object('id', replace(subscription, 'sub', 'tran') || to_char(starts_at at time zone 'UTC', '_YYYYMMDD'), 'status', 'succeeded',
      'kind', 'subscription', 'amount', amount, 'currency', 'USD', 'subscription_id', subscription,
      'period_start', starts_at, 'paid_at', starts_at),
    'history', jsonb_build_array('payment_succeeded')))
$$;
comment on function tests.paid_period is 'What an event tells of a paid period, a month long.';

create or replace function tests.told_status(
  status text, product text default null, subscription text default 'sub_1', more jsonb default '{}'
) returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object('customer', jsonb_build_object('id', replace(subscription, 'sub', 'cust')), 'subscription', jsonb_strip_nulls(
    jsonb_build_object('id', subscription, 'status', status, 'product_id', product)) || more)
$$;
comment on function tests.told_status is 'What an event tells of a subscription whose state changed.';

create or replace function tests.paid_pack(product text, payment text, owner text default null, amount integer default 1000)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'customer', jsonb_build_object('id', 'cust_1', 'email', 'payer@example.test'),
    'owner', case when owner is not null then jsonb_build_object('user_id', tests.id(owner)) end,
    'payment', jsonb_build_object('id', payment, 'status', 'succeeded', 'kind', 'purchase', 'amount', amount,
      'currency', 'USD', 'product_id', product, 'paid_at', '2026-01-01T00:00:00Z')))
$$;
comment on function tests.paid_pack is 'What an event tells of a pack that was bought.';

create or replace function tests.reversed(
  payment text, amount integer, kind text default 'refund', status text default 'succeeded', id text default 'ref_1'
) returns jsonb
language sql immutable set search_path = ''
as $$
  select jsonb_build_object('reversal', jsonb_build_object('id', id, 'kind', kind, 'reference', payment,
    'references', jsonb_build_array(payment), 'amount', amount, 'currency', 'USD', 'status', status))
$$;
comment on function tests.reversed is 'What an event tells of a refund or a dispute.';

create or replace function tests.plan_of(name text) returns text
language sql stable set search_path = ''
as $$
  select format('%s %s', u.subscription_plan, u.subscription_status) from public.users u where u.id = tests.id(plan_of.name)
$$;
comment on function tests.plan_of(text) is 'A person''s plan and its state, as the snapshot has them.';

create or replace function tests.offer_video(
  name text, credits numeric default 20, resolutions text[] default '{720p,1080p}', durations integer[] default '{8,4}',
  takes_image boolean default true, needs_image boolean default false
) returns void
language sql set search_path = ''
as $$
  insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens)
  values (name, name, 'video_generation', 'up-' || name, 0);
  insert into public.video_models (model, durations, resolutions, aspect_ratios, takes_image, needs_image)
  values (name, durations, resolutions, '{16:9,9:16}', takes_image, needs_image);
  select private.set_model_price(name, jsonb_strip_nulls(jsonb_build_array(
    jsonb_build_object('unit', 'request', 'usd_per_unit', 0, 'credits_per_unit', credits),
    jsonb_build_object('unit', 'video_second', 'usd_per_unit', 0.1, 'credits_per_unit', credits * 0))), '2020-01-01');
$$;
comment on function tests.offer_video is 'Offers a model that makes videos, at a price in credits.';

create or replace function tests.ask_video(
  person text, model text default 'veo', workspace text default null, prompt text default 'a cat', parameters jsonb default '{}',
  at timestamptz default now(), request_id text default null, image_url text default null, key text default null,
  hash text default null, api_key text default null, details jsonb default '{}', has_image boolean default false
) returns jsonb
language sql set search_path = ''
as $$
  select public.create_video_job(tests.id(person), model, prompt, image_url, has_image, parameters, request_id, details,
    encode(sha256(convert_to(api_key, 'UTF8')), 'hex'), key, hash, tests.id(workspace), at)
$$;
comment on function tests.ask_video is 'Asks for a video as function video does.';

create or replace function tests.make_video(
  person text, model text default 'veo', workspace text default null, prompt text default 'a cat', parameters jsonb default '{}',
  at timestamptz default now(), request_id text default null, api_key text default null, details jsonb default '{}'
) returns uuid
language sql set search_path = ''
as $$
  select (tests.ask_video(person, model, workspace, prompt, parameters, at, request_id, api_key => api_key, details => details)
    #>> '{job,id}')::uuid
$$;
comment on function tests.make_video is 'A new video job''s id; null where it was refused.';

create or replace function tests.video(job uuid) returns text
language sql stable set search_path = ''
as $$
  select concat_ws(' ', j.status, w.job_id, j.progress || '%', w.result_url, j.error_code)
  from public.video_jobs j join private.video_job_work w on w.video_job_id = j.id where j.id = video.job
$$;
comment on function tests.video(uuid) is 'A video job in words.';

create or replace function tests.video_log(job uuid) returns text
language sql stable set search_path = ''
as $$
  select string_agg(format('%s %s %s free', l.status, trim_scale(l.credits_charged), trim_scale(l.free_credits))
    || coalesce(' ' || l.error_code, ''), ', ')
  from public.ai_usage_logs l join public.video_jobs j on j.request_id = l.request_id and j.workspace_id = l.workspace_id
  where j.id = video_log.job and l.scene = 'video_generation'
$$;
comment on function tests.video_log(uuid) is 'The log rows of a video job in words.';

create or replace function tests.write_session(
  name text, person text, workspace text default null, is_shared boolean default false, levels text default 'rygg',
  transcript text default null, started_at timestamptz default '2026-03-01 10:00+00', ended_at timestamptz default null
) returns uuid
language plpgsql set search_path = ''
as $$
declare
  home uuid := coalesce(tests.id(workspace), tests.id(person));
begin
  insert into public.sessions (id, workspace_id, user_id, client_id, is_shared, started_at, ended_at, status, metadata)
  values (tests.id(name), home, tests.id(person), name, write_session.is_shared, write_session.started_at,
    write_session.ended_at, case when write_session.ended_at is null then 'in_progress' else 'completed' end::public.session_status,
    jsonb_build_object('words', name));
  insert into public.session_analysis_logs (session_id, sequence_number, workspace_id, user_id, analyzed_at, safety_level,
    severity, display_text, action_suggestion, rag_documents, rag_sources, duration_seconds, model_used, prompt_tokens, completion_tokens, estimated_cost_usd)
  select tests.id(name), l.number, home, tests.id(person), write_session.started_at + l.number * interval '1 minute',
    case l.level when 'r' then 'red' when 'y' then 'yellow' else 'green' end::public.session_safety_level,
    case l.level when 'r' then 3 when 'y' then 2 else 1 end, format('seen in %s', name), 'wait', '[{"title": "a document"}]',
    '[{"quote": "a quote"}]', 60, 'a model', 10, 5, 0.01
  from regexp_split_to_table(levels, '') with ordinality l (level, number) where l.level <> '';
  insert into public.session_usage (session_id, workspace_id, user_id, status, duration_seconds, analysis_count,
    red_count, yellow_count, green_count, total_prompt_tokens, total_completion_tokens, estimated_cost_usd,
    credits_consumed, started_at)
  select tests.id(name), home, tests.id(person), s.status, length(levels) * 60, length(levels),
    regexp_count(levels, 'r'), regexp_count(levels, 'y'), regexp_count(levels, 'g'), length(levels) * 10,
    length(levels) * 5, length(levels) * 0.01, length(levels), s.started_at
  from public.sessions s where s.id = tests.id(name);
  insert into public.session_transcripts (session_id, workspace_id, transcript, created_at)
  select tests.id(name), home, transcript, coalesce(write_session.ended_at, write_session.started_at) where transcript is not null;
  return tests.id(name);
end;
$$;
comment on function tests.write_session is
  'Writes a session with an analysis a minute, whose levels are the letters r, y and g, as its end would leave them.';
create or replace function tests.offer_analysis(name text default 'gemini') returns void
language sql set search_path = ''
as $$
  insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens)
  values (name, name, 'session_analysis', 'up-' || name, 1000);
  select private.set_model_price(name, '{"input": 1, "output": 1}', '2020-01-01');
$$;
comment on function tests.offer_analysis is 'Offers a model that analyses sessions.';

create or replace function tests.start_session(
  person text, client_id text default null, mode text default null, started_at timestamptz default null,
  policy text default null, workspace text default null, api_key text default null,
  metadata jsonb default '{}', at timestamptz default now()
) returns jsonb
language sql set search_path = ''
as $$
  select public.start_session(tests.id(person), client_id, mode, started_at, metadata, policy::public.session_policy, tests.id(workspace),
    encode(sha256(convert_to(api_key, 'UTF8')), 'hex'), 'start', '{}', at)
$$;
comment on function tests.start_session is 'Starts a session as function sessions does.';

create or replace function tests.admit_analysis(
  person text, session uuid, number integer, duration numeric default 60, text_hash text default 'hash',
  started_at timestamptz default null, characters integer default 100, tokens integer default 100,
  at timestamptz default now(), request_id text default null, model text default 'gemini'
) returns jsonb
language sql set search_path = ''
as $$
  select public.admit_session_analysis(session, tests.id(person), number, text_hash, jsonb_strip_nulls(
    jsonb_build_object('characters', characters, 'duration_seconds', duration, 'started_at', started_at)), model, tokens,
    100, coalesce(request_id, gen_random_uuid()::text), at => at)
$$;
comment on function tests.admit_analysis is 'Asks for an analysis as function sessions does.';

create or replace function tests.finish_analysis(
  admission jsonb, ending public.ai_usage_status default 'success', prompt_tokens integer default 100,
  completion_tokens integer default 50, level text default 'green', at timestamptz default now()
) returns jsonb
language sql set search_path = ''
as $$
  select public.finish_session_analysis((admission ->> 'hold_id')::uuid, ending, prompt_tokens, 10, completion_tokens,
    case when ending = 'success' then jsonb_build_object('safety_level', level, 'severity', 1, 'display_text', 'Fine.') end,
    served_model => 'gemini', at => at)
$$;
comment on function tests.finish_analysis is 'Ends an analysis that was admitted.';

create or replace function tests.analyze(
  person text, session uuid, number integer, duration numeric default 60, text_hash text default 'hash',
  started_at timestamptz default null, at timestamptz default now(), level text default 'green',
  prompt_tokens integer default 100, completion_tokens integer default 50
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  admission jsonb := tests.admit_analysis(person, session, number, duration, text_hash, started_at, at => at);
begin
  return case when (admission -> 'admitted')::boolean
    then tests.finish_analysis(admission, 'success', prompt_tokens, completion_tokens, level, at) else admission end;
end;
$$;
comment on function tests.analyze is 'Analyses a segment from its admission to its end.';

create or replace function tests.session(session uuid) returns text
language sql stable set search_path = ''
as $$
  select format('%s %ss %s analyses %s tokens %s credits', u.status, trim_scale(u.duration_seconds), u.analysis_count,
    u.total_tokens, trim_scale(u.credits_consumed)) || case when u.warning then ' warning' else '' end
    || coalesce(' ' || s.end_reason, '')
  from public.session_usage u join public.sessions s on s.id = u.session_id where u.session_id = session.session
$$;
comment on function tests.session(uuid) is 'A session and its usage in words.';

revoke execute on all functions in schema tests from public;
grant execute on all functions in schema tests to anon, authenticated, service_role;

commit;

begin;
select plan(4);

select is((select rolsuper from pg_catalog.pg_roles where rolname = current_user), false,
  'the tests run as a role that is no superuser');
select tests.create_user('someone');
select tests.sign_in('someone');
select is(current_user || ' ' || (select auth.uid()), 'authenticated ' || tests.id('someone'),
  'sign_in takes on role and claims');
select tests.be_anonymous();
select is(current_user || coalesce((select auth.uid())::text, ''), 'anon', 'be_anonymous has no account');
select tests.be_postgres();
select is(current_user || coalesce((select auth.uid())::text, ''), 'postgres', 'be_postgres returns to the owner');

select * from finish();
rollback;
