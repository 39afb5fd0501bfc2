-- Jobs at once, the budget of a key, the limit of a member, the calls of a plan.
begin;
select plan(34);
select tests.create_user('owner'), tests.create_user('member'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('owner'), 1000, 'purchase'),
  public.credit_user_credits_transaction(tests.id('owner'), 1000, 'purchase', workspace_id => tests.id('team'));
select tests.offer_video('veo');
create function pg_temp.refused(answer jsonb) returns text
language sql as $$ select concat_ws(' ', answer ->> 'created', answer ->> 'status', answer ->> 'code', answer ->> 'retry_after') $$;

select tests.remember('job', tests.make_video('owner'));
select is(pg_temp.refused(tests.ask_video('owner')), 'false 429 limit_reached 30', 'a second at once is too many on the free plan');
select is(tests.ask_video('owner') ->> 'message', 'The plan free allows one video job at the same time. Wait until one ends, or take a larger plan.', 'and says what to do');
select public.start_video_job(tests.recall('job')::uuid, 't1');
select is(pg_temp.refused(tests.ask_video('owner')), 'false 429 limit_reached 30', 'also while the first is processing');
select ok(tests.ask_video('owner', workspace => 'team') @> '{"created": true}', 'but not in another workspace');
select public.update_video_job(tests.recall('job')::uuid, '{"status": "completed", "result_url": "https://x.test/v"}');
select isnt(tests.make_video('owner'), null, 'one that is completed makes room');
select public.fail_video_job(id, 'upstream_error') from public.video_jobs where workspace_id = tests.id('owner') and finished_at is null;
select isnt(tests.make_video('owner'), null, 'one that failed as well');
select public.cancel_video_job(id, true) from public.video_jobs where workspace_id = tests.id('owner') and finished_at is null;
select tests.put_on_plan('owner', 'basic');
select isnt(tests.make_video('owner'), null, 'and one that was canceled');
select isnt(tests.make_video('owner'), null, 'another plan allows two');
select is(pg_temp.refused(tests.ask_video('owner')), 'false 429 limit_reached 30', 'and no third');
select tests.limit_plans('video_jobs_at_once', null, 'basic');
select isnt(tests.make_video('owner'), null, 'null is as many as it likes');
select tests.limit_plans('video_jobs_at_once', 0, 'basic');
select is(pg_temp.refused(tests.ask_video('owner')), 'false 429 limit_reached 30', '0 is none');
select tests.limit_plans('video_jobs_at_once', null);

-- The limit of a member.
update public.spending_limits set counts_since = '2025-12-31' where workspace_id = tests.id('team');
update public.workspace_member_credits set credit_limit = 30, period_credit_limit = 100, limit_period = 'day'
where workspace_id = tests.id('team') and user_id = tests.id('member');
select tests.remember('job', tests.make_video('member', workspace => 'team'));
select is((select concat_ws(' ', credits_used::integer, period_credits_used::integer) from public.workspace_member_credits where user_id = tests.id('member') and workspace_id = tests.id('team')), '20 20',
  'a job counts to what its member used');
select is(pg_temp.refused(tests.ask_video('member', workspace => 'team')), 'false 429 limit_reached', 'what passes their limit is refused');
select public.fail_video_job(tests.recall('job')::uuid, 'upstream_error');
select is((select concat_ws(' ', credits_used::integer, period_credits_used::integer) from public.workspace_member_credits where user_id = tests.id('member') and workspace_id = tests.id('team')), '0 0',
  'a refund gives it back');
select isnt(tests.make_video('member', workspace => 'team'), null, 'and there is room again');

-- The budget of a key.
insert into public.api_keys (id, workspace_id, user_id, name, prefix, budget, period_budget, budget_period)
values (tests.id('key'), tests.id('owner'), tests.id('owner'), 'key', 'sk-', 50, 25, 'month');
insert into private.api_key_hashes (key_hash, api_key_id) values (sha256('secret'), tests.id('key'));
select public.refund_user_credits(tests.id('owner'), 1, 'x');
select tests.remember('job', tests.make_video(null, api_key => 'secret', at => '2026-01-31', request_id => 'by key'));
select is((select concat_ws(' ', l.credits_used::integer, l.period_credits_used::integer) from public.spending_limits l where l.spender_id = tests.id('key')), '20 20', 'a job counts to its key');
select is(pg_temp.refused(tests.ask_video(null, api_key => 'secret', at => '2026-01-31')), 'false 429 limit_reached 86400', 'the key''s budget is a limit, until its next period');
select public.fail_video_job(tests.recall('job')::uuid, 'upstream_error', at => '2026-01-31 00:20:00Z');
select is((select concat_ws(' ', l.credits_used::integer, l.period_credits_used::integer) from public.spending_limits l where l.spender_id = tests.id('key')), '0 0', 'a refund gives it back');
select is((select api_key_id from public.ai_usage_logs where request_id = 'by key'), tests.id('key'), 'the log names the key');
select tests.remember('job', tests.make_video(null, api_key => 'secret', at => '2026-01-31'));
select tests.remember('next', tests.make_video(null, api_key => 'secret', at => '2026-02-01'));
select public.fail_video_job(tests.recall('job')::uuid, 'upstream_error', at => '2026-02-01 00:20:00Z');
select is((select concat_ws(' ', l.credits_used::integer, l.period_credits_used::integer) from public.spending_limits l where l.spender_id = tests.id('key')), '20 20',
  'in all, and not to a period in which it was not taken');
update public.api_keys set allowed_scenes = '{text_chat}' where id = tests.id('key');
select is(pg_temp.refused(tests.ask_video(null, api_key => 'secret')), 'false 403 forbidden', 'a key for other scenes makes none');
update public.api_keys set allowed_scenes = null, allowed_models = '{other}' where id = tests.id('key');
select is(pg_temp.refused(tests.ask_video(null, api_key => 'secret')), 'false 403 model_not_allowed', 'nor one for other models');
select throws_ok($$ select tests.ask_video(null, api_key => 'secret', workspace => 'team') $$, 'PT403', 'forbidden', 'nor for another workspace');
select throws_ok($$ select tests.ask_video(null, api_key => 'no such') $$, 'PT401', 'invalid_api_key', 'nor one that is none');

-- A budget that is watched tells when a job takes it.
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('owner'), 'limit_share', 0.6);
update public.api_keys set allowed_models = null, period_budget = null, budget_period = null where id = tests.id('key');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase');
select tests.make_video(null, api_key => 'secret');
select is((select count(*) from public.notifications where workspace_id = tests.id('owner') and kind = 'limit_share' and data ->> 'api_key_id' = tests.id('key')::text), 1::bigint,
  'an alert on the key''s budget fires');

-- The feature api_call: those that run will count.
select tests.create_user('counted'), public.credit_user_credits_transaction(tests.id('counted'), 1000, 'purchase');
insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values (tests.id('counted'), 'api_call', 2, 'a test');
select tests.remember('job', tests.make_video('counted')), tests.remember('other', tests.make_video('counted'));
select is(tests.ask_video('counted') ->> 'code', 'limit_reached', 'jobs under way count as calls');
select public.fail_video_job(tests.recall('other')::uuid, 'upstream_error');
select public.update_video_job(tests.recall('job')::uuid, '{"job_id": "t9", "status": "completed", "result_url": "https://x.test/v"}');
select is(private.feature_used(tests.id('counted'), 'api_call', (private.feature_period(tests.id('counted'), now())).period_start), 1::numeric, 'one that is completed has counted, one that failed has not');
select isnt(tests.make_video('counted'), null, 'and makes room');

-- Credits that a hold past its time keeps.
select tests.create_user('holder'), public.credit_user_credits_transaction(tests.id('holder'), 17, 'purchase');
select public.hold_credits(tests.id('holder'), 10, 'x', expires_in => '1 minute');
select isnt(tests.make_video('holder', at => now() + interval '2 minutes'), null, 'a hold that is past its time is in nobody''s way');

select tests.create_user('poor');
select is(tests.ask_video('poor') ->> 'message', 'This video costs 20 credits and 3 are available.', 'a video''s price is exact');

-- A frozen wallet, and one in debt.
update public.credit_wallets set frozen_at = now() where workspace_id = tests.id('counted');
select is(tests.ask_video('counted') ->> 'code', 'account_disabled', 'a frozen workspace makes none');
select is(public.fail_video_job(id, 'upstream_error') -> 'credits_refunded', '20', 'what it made before is refunded all the same')
from public.video_jobs where workspace_id = tests.id('counted') and finished_at is null;
update public.credit_wallets set frozen_at = null, overdraft_limit = 20 where workspace_id = tests.id('counted');
select public.debit_user_credits_transaction(tests.id('counted'), 983, 'x');
select isnt((tests.make_video('counted')), null, 'an overdraft pays for a job');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
