begin;
select plan(17);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_user('cal'), tests.create_team('team');
select tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'ben'), tests.join_team('team', 'cal', 'admin');
select public.credit_user_credits_transaction(tests.id('ann'), 100, 'purchase', workspace_id => tests.id('team'));
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values
  ('one', 'One', 'up', 100, 1), ('dear', 'Dear', 'up', 100, 1000);
select private.set_model_price('one', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('dear', '{"input": 0, "output": 0}', '2020-01-01');
select tests.offer_video('veo');
select tests.limit_plans('requests_per_minute', 100, 'free'), tests.limit_plans('video_jobs_at_once', 5, 'free');
create function pg_temp.limit_to(person text, in_all numeric, a_day numeric default null) returns void language plpgsql as $$
begin
  perform tests.sign_in('ann');
  perform public.set_member_limit(tests.id('team'), tests.id(person), in_all, a_day, case when a_day is not null then 'day' end::public.calendar_period);
  perform tests.be_postgres();
end $$;
create function pg_temp.told(person text, secret text default null, team text default 'team') returns text language plpgsql as $$
declare
  answer jsonb := public.admit_ai_call(tests.id(person), 'one', 1, workspace_id => tests.id(team), api_key_hash => encode(sha256(secret::bytea), 'hex'));
begin
  answer := public.finish_ai_call((answer ->> 'hold_id')::uuid, 'success');
  return concat_ws(' of ', answer ->> 'credits_available', answer ->> 'credits_balance');
end $$;

select is(pg_temp.told('ann', team => null), '2 of 2.000000', 'in a personal workspace it is what the wallet has');
update public.credit_wallets set overdraft_limit = 5 where workspace_id = tests.id('ann');
select is(pg_temp.told('ann', team => null), '6 of 1.000000', 'with its overdraft');
select pg_temp.told('ann', team => null) from generate_series(1, 3);
select is(pg_temp.told('ann', team => null), '2 of -3.000000', 'down to its limit');
select is(pg_temp.told('ann'), '99 of 99.000000', 'an owner hears what a team has');
select is(pg_temp.told('cal'), '98 of 98.000000', 'and an admin');
select pg_temp.limit_to('ann', 50, 10);
select is(pg_temp.told('ann'), '8 of 97.000000', 'less where a limit of theirs leaves less');
select is(pg_temp.told('ben'), '', 'a member hears nothing of it');
select pg_temp.limit_to('ben', 20);
select is(pg_temp.told('ben'), '18', 'but what a limit of their own leaves');
select pg_temp.limit_to('ben', 2000);
select is(pg_temp.told('ben'), '1997', 'also where the team has less');
select is(public.admit_ai_call(tests.id('ben'), 'dear', 1, workspace_id => tests.id('team')) ->> 'message',
  'This call may cost up to 1000 credits and fewer are available.', 'and where it has too little');
select is(public.admit_ai_call(tests.id('cal'), 'dear', 1, workspace_id => tests.id('team')) ->> 'message',
  'This call may cost up to 1000 credits and 94 are available.', 'which an admin is told in numbers');

select tests.sign_in('cal');
select tests.remember('key', to_jsonb(public.create_api_key('key', tests.id('team'), budget => 40, period_budget => 30, budget_period => 'day')) ->> 'key');
select tests.be_postgres();
select is(pg_temp.told(null, tests.recall('key')), '29 of 93.000000', 'a key hears what its budget leaves');
select tests.remember('hold', public.admit_ai_call(null, 'one', 1, api_key_hash => encode(sha256(tests.recall('key')::bytea), 'hex')) ->> 'hold_id');
select public.finish_ai_call(tests.recall('hold')::uuid, 'success');
select is(public.finish_ai_call(tests.recall('hold')::uuid, 'success') ->> 'credits_available', '28', 'also where its end is told twice');
update public.credit_wallets set frozen_at = now() where workspace_id = tests.id('team');
select is(private.spendable(tests.id('team'), tests.id('cal'), null, now()), 0::numeric, 'nothing of a frozen wallet can be spent');
update public.credit_wallets set frozen_at = null where workspace_id = tests.id('team');

-- Videos alike.
select is(tests.ask_video('cal', workspace => 'team', api_key => tests.recall('key')) ->> 'credits_available', '8', 'a video says the same');
select is(tests.ask_video('ben', workspace => 'team') ? 'credits_available', true, 'to a member by their limit');
select pg_temp.limit_to('ben', null);
select is(tests.ask_video('ben', workspace => 'team') ?| array['credits_available', 'credits_balance'], false, 'or not at all');

select * from finish();
rollback;
