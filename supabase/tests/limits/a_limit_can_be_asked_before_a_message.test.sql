-- check_subscription_limit answers what an admission would, to who may ask.
begin;
select plan(32);
select tests.create_user('owner'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
select tests.put_on_plan('team', 'pro');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('chat', 'Chat', 'up', 100, 0);
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.ask(at timestamptz, person text default 'owner', workspace text default null, action text default 'message') returns text
language sql as $$
  select concat_ws(' ', a.allowed::text, a.code, a.retry_after, a.plan, coalesce(a.used::text, '-'), coalesce(a."limit"::text, '-'),
    coalesce(a.remaining::text, '-'), to_char(a.period_start at time zone 'UTC', 'MM-DD'), to_char(a.period_end at time zone 'UTC', 'MM-DD'))
  from public.check_subscription_limit(tests.id(person), action, tests.id(workspace), at) a
$$;
create function pg_temp.call(at timestamptz, person text default 'owner', workspace text default null) returns text
language sql as $$
  select coalesce(a ->> 'code', 'admitted') from public.admit_ai_call(tests.id(person), 'chat', 1, workspace_id => tests.id(workspace), at => at) a
$$;
grant execute on function pg_temp.ask to public;
create function pg_temp.refused(action text) returns text
language plpgsql as $$
declare
  told text;
begin
  perform public.check_subscription_limit(tests.id('owner'), action);
  return 'nothing';
exception when others then
  get stacked diagnostics told = pg_exception_detail;
  return sqlerrm || ': ' || told;
end;
$$;

select is(pg_temp.ask('2026-05-05+00'), 'true free 0 10 10 05-01 06-01', 'before anything is written a period has seen nothing');
select is((select count(*) from generate_series(1, 9) n where pg_temp.call('2026-05-05 10:00+00'::timestamptz + n * interval '1 min') = 'admitted'),
  9::bigint, 'nine messages');
select is(pg_temp.ask('2026-05-05 11:00+00'), 'true free 9 10 1 05-01 06-01', 'leave one');
select is(pg_temp.ask('2026-05-05 11:00+00'), 'true free 9 10 1 05-01 06-01', 'asking counts nothing');
select is(pg_temp.call('2026-05-05 11:00+00'), 'admitted', 'which is admitted');
select is(pg_temp.ask('2026-05-31 23:00+00'), 'false limit_reached 3600 free 10 10 0 05-01 06-01', 'then none is left');
select is((public.check_subscription_limit(tests.id('owner'), at => '2026-05-31 23:00+00')).message,
  public.admit_ai_call(tests.id('owner'), 'chat', 1, at => '2026-05-31 23:00+00') ->> 'message', 'and it says what the admission says');
select is(pg_temp.ask('2026-06-01+00'), 'true free 0 10 10 06-01 07-01', 'until the period turns over, by itself');
insert into private.plan_periods values (tests.id('owner'), '2026-05-20+00', '2027-05-20+00');
select is(pg_temp.ask('2026-06-01+00'), 'true free 0 10 10 05-20 06-20', 'or a subscription begins, of whose months it tells');
delete from private.plan_periods;
select public.credit_user_credits_transaction(tests.id('owner'), 1, 'purchase', at => '2026-05-05 12:00+00', kind => 'purchase');
select is(pg_temp.ask('2026-05-31 23:00+00'), 'true free 10 10 0 05-01 06-01', 'credits that were bought go beyond it');
update public.plans set messages_limit_paid = true where plan = 'free';
select is(pg_temp.ask('2026-05-31 23:00+00'), 'false limit_reached 3600 free 10 10 0 05-01 06-01', 'but where the plan says that they do not');
select is((select count(*) from generate_series(1, 10) where pg_temp.call('2026-06-05 10:00+00') = 'admitted'), 10::bigint, 'ten in a minute');
select tests.limit_plans('messages_per_month', null, 'free');
select is(pg_temp.ask('2026-06-05 10:00:15+00'), 'false rate_limited 45 free 10 - - 06-01 07-01', 'are the rate; null is no limit');
select is(pg_temp.ask('2026-05-05+00', 'owner', 'team'), 'true pro 0 - - 05-01 06-01', 'a team has its own plan and count');
update public.credit_wallets set frozen_at = now() where workspace_id = tests.id('team');
select is(pg_temp.ask('2026-05-05+00', 'owner', 'team'), 'false account_disabled pro 0 - - 05-01 06-01', 'one that is frozen sends none');
update public.credit_wallets set frozen_at = null;
update public.system_config set config_value = 'true' where config_key = 'maintenance_mode';
select is(pg_temp.ask('2026-05-05+00', 'owner', 'team'), 'false maintenance pro 0 - - 05-01 06-01', 'nor anyone in maintenance');
update public.system_config set config_value = 'false' where config_key = 'maintenance_mode';

-- Counted features.
insert into public.plan_features (plan, feature_code, feature_limit) values ('free', 'api_call', 1), ('pro', 'token', 5);
insert into public.features (feature_code, name, unit) values ('export', 'Exports', 'file');
select is(pg_temp.ask('2026-07-05+00', action => 'api_call'), 'true free 0 1 1 07-01 08-01', 'a counted feature is asked alike');
select public.consume_feature('api_call', 1, tests.id('owner'), at => '2026-07-05+00');
select is(pg_temp.ask('2026-07-31 23:59+00', action => 'api_call'), 'false limit_reached 60 free 1 1 0 07-01 08-01', 'up to its limit');
select is(pg_temp.ask('2026-07-31 23:59+00'), 'false limit_reached 60 free 0 - - 07-01 08-01', 'which stops messages as well');
update public.features set is_active = false where feature_code = 'export';
select is(pg_temp.ask('2026-07-05+00', action => 'export'), 'false feature_not_in_plan free 0 0 0 07-01 08-01', 'one that is off is not there');
select throws_ok($$ select public.check_subscription_limit(tests.id('owner'), 'seats') $$, 'PT400', 'invalid_request', 'what is not counted by period is not asked');
select is(pg_temp.refused('fly'), 'invalid_request: p_action must be one of message, api_call, token, not "fly".', 'an unknown action is answered with the known ones');
select is(pg_temp.refused(null), 'invalid_request: p_action must be one of message, api_call, token, not null.', 'so is none');

-- Who may ask.
update public.users set is_active = false where id = tests.id('member');
select tests.sign_in('owner');
select is(pg_temp.ask(now()), pg_temp.ask(now(), workspace => 'owner'), 'people ask for themselves');
select is((public.check_subscription_limit(tests.id('owner'), 'message', tests.id('team'))).plan, 'pro', 'and for their team');
select throws_ok($$ select public.check_subscription_limit(tests.id('member')) $$, 'PT403', 'forbidden', 'for nobody else, not even of their team');
select tests.sign_in('stranger');
select throws_ok($$ select public.check_subscription_limit(tests.id('owner')) $$, 'PT403', 'forbidden', 'a stranger asks in vain');
select throws_ok($$ select public.check_subscription_limit(tests.id('stranger'), 'message', tests.id('team')) $$, 'PT404', 'not_found', 'of a team too');
select tests.sign_in('member');
select is((public.check_subscription_limit(tests.id('member'))).code, 'account_disabled', 'a disabled account is told so');
select tests.be_anonymous();
select throws_ok($$ select public.check_subscription_limit(tests.id('owner')) $$, '42501', null, 'nobody else asks');
select tests.be_service();
select is((public.check_subscription_limit(tests.id('member'), 'message', tests.id('team'))).code, 'account_disabled', 'the service role does for anyone');
select throws_ok($$ select public.check_subscription_limit('00000000-0000-0000-0000-000000000000') $$, 'PT404', 'not_found', 'who is there');
select * from finish();
rollback;
