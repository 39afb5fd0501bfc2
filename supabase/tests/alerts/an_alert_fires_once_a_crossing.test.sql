begin;
select plan(21);
select tests.create_user('owner'), tests.create_user('member');
select tests.create_team('team');
insert into public.workspace_members (workspace_id, user_id, role) values
  (tests.id('team'), tests.id('owner'), 'owner'), (tests.id('team'), tests.id('member'), 'member');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'manual', workspace_id => tests.id('team'));
create function pg_temp.use(amount numeric, person text default 'owner') returns void
language sql as $$ select public.debit_user_credits_transaction(tests.id(person), amount, 'manual', workspace_id => tests.id('team')) $$;
create function pg_temp.add(amount numeric) returns void
language sql as $$ select public.credit_user_credits_transaction(tests.id('owner'), amount, 'manual', workspace_id => tests.id('team')) $$;
create function pg_temp.told() returns text
language sql as $$ select string_agg(concat_ws(' ', kind, data ->> 'threshold', data ->> 'balance', data ->> 'share',
  case when user_id is not null then 'to the member' end), ', ' order by id) from public.notifications where workspace_id = tests.id('team') $$;

select is((select count(*)::integer from public.credit_alerts), 0, 'a new workspace has no alerts');
select is((select has_alerts from public.credit_wallets where workspace_id = tests.id('team')), false, 'and nothing looks for any');
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'low_balance', 50), (tests.id('team'), 'low_balance', 20);
select is((select has_alerts from public.credit_wallets where workspace_id = tests.id('team')), true, 'a wallet knows that it has alerts');
select pg_temp.use(50);
select is(pg_temp.told(), null, 'at the line it is not below');
select pg_temp.use(1);
select is(pg_temp.told(), 'low_balance 50 49', 'below it the alert fires');
select pg_temp.use(1), pg_temp.use(1);
select is(pg_temp.told(), 'low_balance 50 49', 'and not again while it stays there');
select pg_temp.add(10), pg_temp.use(40);
select is(pg_temp.told(), 'low_balance 50 49, low_balance 20 17, low_balance 50 17', 'once it was back it fires again; a step over two lines fires both');
select is((select count(last_fired_at)::integer from public.credit_alerts), 2, 'when is noted');
update public.credit_alerts set is_active = false;
select is((select has_alerts from public.credit_wallets where workspace_id = tests.id('team')), false, 'one that is off is not looked for');
select pg_temp.add(100), pg_temp.use(110);
update public.credit_alerts set is_active = true;
delete from public.notifications;
update public.credit_wallets set credits_balance = credits_balance + 50, credits_total = credits_total + 50 where workspace_id = tests.id('team');
update public.credit_wallets set credits_balance = credits_balance - 50, credits_total = credits_total - 50 where workspace_id = tests.id('team');
select is(pg_temp.told(), 'low_balance 20 7, low_balance 50 7', 'whatever moves a wallet fires it');
delete from public.notifications;
delete from public.credit_alerts;

-- Overdraft and debt: the balance is 7, and 10 more may be drawn.
update public.credit_wallets set overdraft_limit = 10 where workspace_id = tests.id('team');
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'overdraft', 0), (tests.id('team'), 'overdraft', 8), (tests.id('team'), 'debt', 0);
select pg_temp.use(7);
select is(pg_temp.told(), null, 'a balance of nothing draws on nothing');
select pg_temp.use(1), pg_temp.use(2);
select is(pg_temp.told(), 'overdraft 0 -1', 'below it the overdraft is drawn');
select public.settle_credit_hold((public.hold_credits(tests.id('owner'), 1, 'manual', workspace_id => tests.id('team'))).hold_id, 20);
select is(pg_temp.told(), 'overdraft 0 -1, overdraft 8 -23, debt 0 -23', 'beyond the overdraft is debt');
select pg_temp.add(60);
delete from public.notifications;
delete from public.credit_alerts;

-- Shares of limits.
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'limit_share', 0.8), (tests.id('team'), 'limit_share', 1);
update public.workspace_member_credits set credit_limit = 10 where user_id = tests.id('member') and workspace_id = tests.id('team');
select pg_temp.use(7.9, 'member'), pg_temp.use(10);
select is(pg_temp.told(), null, 'a member''s limit is not used so far yet');
select pg_temp.use(0.1, 'member');
select is(pg_temp.told(), 'limit_share 0.8 0.8000, limit_share 0.8 0.8000 to the member', 'at a share of it managers and the member are told');
select public.refund_user_credits(tests.id('member'), 1, 'manual', workspace_id => tests.id('team'));
select pg_temp.use(1, 'member');
select is((select count(*)::integer from public.notifications), 4, 'again after a refund had taken it back');
select pg_temp.use(2, 'member');
select alike(pg_temp.told(), '%limit_share 1 1.0000 to the member', 'and at the whole of it');
delete from public.notifications;

-- A key: what is only set aside crosses no line.
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 1000);
select private.set_model_price('test', '{"input": 0, "output": 10000}', '2020-01-01');
insert into public.api_keys (workspace_id, user_id, name, prefix, budget) values (tests.id('team'), tests.id('owner'), 'k', 'sk-', 10);
insert into private.api_key_hashes (api_key_id, key_hash) select id, extensions.digest('k', 'sha256') from public.api_keys;
select tests.remember('hold', public.admit_ai_call(null, 'test', 1, 9, api_key_hash => encode(extensions.digest('k', 'sha256'), 'hex')) ->> 'hold_id');
select public.finish_ai_call(tests.recall('hold')::uuid, 'success', 0, 0, 5);
select is(pg_temp.told(), null, 'a call that held most of a budget and used half');
select tests.remember('hold', public.admit_ai_call(null, 'test', 1, 5, api_key_hash => encode(extensions.digest('k', 'sha256'), 'hex')) ->> 'hold_id');
select public.finish_ai_call(tests.recall('hold')::uuid, 'success', 0, 0, 4);
select is(pg_temp.told(), 'limit_share 0.8 0.9000', 'one that used more of it');

select throws_ok($$ insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'limit_share', 1.1) $$, '23514', null, 'a share is at most 1');
insert into public.credit_alerts (workspace_id, kind, threshold) select tests.id('team'), 'debt', n from generate_series(1, 18) n;
select throws_ok($$ insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'debt', 99) $$, 'PT429', 'limit_reached', 'twenty are enough');

select * from finish();
rollback;
