-- Calls a minute and a day, messages, video jobs at once and seats: a plan's rows, and a workspace's own before them.
begin;
select plan(36);
select tests.create_user('owner'), tests.create_user('member'), tests.create_user('guest'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('owner'), 1000, 'promotion');
insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens, credits_per_request) values
  ('chat', 'Chat', 'text_chat', 'up', 100, 0), ('embed', 'Embed', 'embedding', 'up', 0, 0);
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('embed', '{"input": 0, "output": 0}', '2020-01-01');
select tests.offer_video('veo');
create function pg_temp.admitted(calls integer, at timestamptz, model text default 'embed', workspace text default 'owner') returns bigint
language sql as $$
  select count(*) from generate_series(1, calls)
  where (public.admit_ai_call(tests.id('owner'), model, 1, workspace_id => tests.id(workspace), at => at) ->> 'admitted')::boolean
$$;
create function pg_temp.give(feature text, most numeric, is_on boolean default true, workspace text default 'owner') returns void
language sql as $$
  insert into public.workspace_features (workspace_id, feature_code, feature_limit, is_enabled, expires_at, reason)
  values (tests.id(workspace), feature, most, is_on, '2026-06-01', 'a test')
  on conflict (workspace_id, feature_code) do update set feature_limit = excluded.feature_limit, is_enabled = excluded.is_enabled
$$;

-- One source of the plan.
select tests.put_on_plan('owner', 'basic'), tests.put_on_plan('team', 'pro');
select is(tests.plan_of('owner'), 'basic inactive', 'a person''s snapshot follows their workspace');
select results_eq($$ select u.subscription_plan from public.users u where u.id in (tests.id('member'), tests.id('guest')) $$,
  $$ values ('free'), ('free') $$, 'and no other''s');
select tests.limit_plans('requests_per_minute', 2, 'basic'), tests.limit_plans('requests_per_minute', 4, 'pro');
select is(pg_temp.admitted(5, '2026-05-01 10:00+00'), 2::bigint, 'a person''s plan limits them');
select is(pg_temp.admitted(5, '2026-05-01 10:00+00', workspace => 'team'), 4::bigint, 'a team''s the team');
select tests.sign_in('owner');
select throws_ok($$ update public.workspaces set plan = 'enterprise' $$, '42501', null, 'an owner chooses no plan');
select tests.sign_in('member');
select throws_ok($$ update public.workspaces set plan = 'enterprise' $$, '42501', null, 'nor does a member');
select tests.be_anonymous();
select throws_ok($$ update public.workspaces set plan = 'enterprise' $$, '42501', null, 'nor somebody');
select tests.be_service();
select throws_ok($$ update public.workspaces set plan = 'enterprise' $$, '42501', null, 'nor a backend: a subscription does');
select tests.be_postgres();
select throws_ok($$ update public.workspaces set plan = 'no_such' $$, '23503', null, 'a plan is one of the list');
select tests.put_on_plan('owner', 'free');
select is(tests.plan_of('owner'), 'free inactive', 'back on free the snapshot is as well');

-- A workspace's own row comes before its plan's, until it expires.
select pg_temp.give('requests_per_minute', 12);
select is(pg_temp.admitted(20, '2026-05-02 10:00+00'), 12::bigint, 'so many calls a minute');
select is(pg_temp.admitted(20, '2026-06-02 10:00+00'), 10::bigint, 'until that ends');
delete from private.ai_request_counts;
select pg_temp.give('requests_per_minute', null);
select is(pg_temp.admitted(20, '2026-05-03 10:00+00'), 20::bigint, 'null is no limit');
select pg_temp.give('requests_per_day', 3);
select is(pg_temp.admitted(20, '2026-05-04 10:00+00'), 3::bigint, 'so many a day');
select pg_temp.give('requests_per_minute', 5, false);
select is(pg_temp.admitted(20, '2026-05-05 10:00+00'), 0::bigint, 'what is off is none');
delete from public.workspace_features where feature_code like 'requests%';
select tests.limit_plans('requests_per_minute', null, 'free');
select pg_temp.give('messages_per_month', 2);
select is(pg_temp.admitted(5, '2026-05-06 10:00+00', 'chat'), 2::bigint, 'so many messages');
select is(pg_temp.admitted(20, '2026-06-06 10:00+00', 'chat'), 10::bigint, 'then those of the plan');
select pg_temp.give('messages_per_month', null);
select is(pg_temp.admitted(20, '2026-05-06 10:00+00', 'chat'), 20::bigint, 'or as many as it likes');
select pg_temp.give('video_jobs_at_once', 2);
select isnt(tests.make_video('owner', at => '2026-05-07 10:00+00'), null, 'a video job');
select isnt(tests.make_video('owner', at => '2026-05-07 10:00+00'), null, 'and another one');
select is(tests.ask_video('owner', at => '2026-05-07 10:00+00') ->> 'message',
  'The plan free allows 2 video jobs at the same time. Wait until one ends, or take a larger plan.', 'and no third');
select pg_temp.give('video_jobs_at_once', null);
select isnt(tests.make_video('owner', at => '2026-05-07 10:00+00'), null, 'but where there is no limit');
update public.features set is_active = false where feature_code = 'video_jobs_at_once';
select is(tests.ask_video('owner', at => '2026-05-07 10:00+00') ->> 'code', 'limit_reached', 'an inactive feature is off for everyone');
update public.features set is_active = true;

-- Seats.
create function pg_temp.join(person text) returns text
language plpgsql as $$
declare
  token text;
begin
  perform tests.sign_in('owner');
  token := (public.invite_member(tests.id('team'), person || '@example.test')).token;
  perform tests.be_postgres();
  update auth.users set email_confirmed_at = now() where id = tests.id(person);
  perform tests.sign_in(person), public.accept_invitation(token);
  perform tests.be_postgres();
  return 'joined';
exception when others then
  return sqlerrm || ' ' || (select private.limit_in(private.features_of(tests.id('team'), now(), 'seats'), 'seats'));
end
$$;
insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values (tests.id('team'), 'seats', 2, 'a test');
select is(pg_temp.join('guest'), 'limit_reached 2', 'a team''s own row says how many seats it has');
update public.workspace_features set feature_limit = null where feature_code = 'seats';
select is(pg_temp.join('guest'), 'joined', 'null is no limit there too');
delete from public.workspace_features where feature_code = 'seats';

-- What can be asked of them.
select tests.sign_in('member');
select is(to_jsonb(public.check_feature('seats', workspace_id => tests.id('team'))),
  '{"allowed": true, "code": null, "id": null, "used": null, "limit": 25, "remaining": null, "period_start": null, "period_end": null}',
  'a member reads their team''s limit, and no use where none is counted');
select is(to_jsonb(public.check_feature('seats', 26, workspace_id => tests.id('team'))) ->> 'code', 'limit_reached', 'more than it does not fit');
select is(to_jsonb(public.check_feature('requests_per_day', workspace_id => tests.id('team'))) ->> 'limit', null, 'no limit is null');
select throws_ok($$ select public.check_feature('seats', workspace_id => tests.id('owner')) $$, 'PT404', 'not_found', 'a stranger''s is not theirs');
select is((select jsonb_object_agg(plan, feature_limit) from public.plan_features where feature_code = 'seats'),
  '{"free": 3, "basic": 5, "creator": 10, "pro": 25, "enterprise": null}', 'everyone reads what plans include');
select throws_ok($$ select public.consume_feature('seats', 1, tests.id('member')) $$, '42501', null, 'nobody signed in counts');
select tests.be_service();
select throws_ok($$ select public.consume_feature('seats', 1, tests.id('owner')) $$, 'PT400', 'invalid_request', 'what is not counted is not used');
select is_empty($$ select from public.feature_usage where feature_code = 'seats' $$, 'and leaves no count');
select throws_ok($$ update public.plan_features set feature_limit = -1 where feature_code = 'seats' $$, '23514', null, 'there is no other word for no limit');
select is((select string_agg(concat_ws(' ', p.plan, coalesce(p.requests_per_minute::text, 'any'), coalesce(p.messages_per_month::text, 'any')), ', ')
    from unnest((public.list_payment_products()).plans) p where p.plan in ('free', 'basic', 'pro')),
  'free any 10, basic 2 100, pro 4 any', 'and plans on sale say it by null');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
