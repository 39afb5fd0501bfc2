-- Not use alone crosses a line: a lower limit does, or a smaller overdraft.
begin;
select plan(25);
select tests.create_user('owner'), tests.create_user('member');
select tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'manual', workspace_id => tests.id('team'));
create function pg_temp.use(amount numeric, person text default 'member') returns void
language sql as $$ select public.debit_user_credits_transaction(tests.id(person), amount, 'manual', workspace_id => tests.id('team')) $$;
-- What was told since it was asked for last, to owners and admins.
create function pg_temp.told() returns text language plpgsql as $$
declare
  answer text := (select string_agg(concat_ws(' ', kind, data ->> 'threshold', data ->> 'balance', data ->> 'limit', data ->> 'share'), ', ' order by id)
    from public.notifications where user_id is null);
begin
  delete from public.notifications;
  return answer;
end $$;
create function pg_temp.limit_to(most numeric, period_most numeric default null, period public.calendar_period default null) returns text language plpgsql as $$
begin
  perform tests.sign_in('owner'), public.set_member_limit(tests.id('team'), tests.id('member'), most, period_most, period);
  perform tests.be_postgres();
  return pg_temp.told();
end $$;
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'limit_share', 0.8);

-- A member's limits.
select pg_temp.use(5);
select is(pg_temp.limit_to(10), null, 'a limit that is far');
select is(pg_temp.limit_to(6), 'limit_share 0.8 credit_limit 0.8333', 'a lower one is used so far already');
select is(pg_temp.limit_to(5), null, 'lower still crosses no line again');
select is(pg_temp.limit_to(100), null, 'a higher one arms it');
select is(pg_temp.limit_to(5), 'limit_share 0.8 credit_limit 1.0000', 'so that it fires again');
select is(pg_temp.limit_to(null), null, 'without a limit there is none to use');
select is(pg_temp.limit_to(0), 'limit_share 0.8 credit_limit 1.0000', 'of nothing all is used');
select is(pg_temp.limit_to(null), null, 'and none again');
update public.spending_limits set limit_period = 'day', period_credit_limit = 100, period_credits_used = 5, period_started_at = date_trunc('day', now(), 'UTC')
where spender_id = tests.id('member') and workspace_id = tests.id('team');
update public.spending_limits set period_credit_limit = 6 where period_credit_limit = 100;
select is(pg_temp.told(), 'limit_share 0.8 period_credit_limit 0.8333', 'a limit of a period as well');
update public.spending_limits set period_credit_limit = 100 where period_credit_limit = 6;
update public.spending_limits set period_started_at = period_started_at - interval '1 day' where period_credit_limit = 100;
update public.spending_limits set period_credit_limit = 6 where period_credit_limit = 100;
select is(pg_temp.told(), null, 'of a period that is over nothing is used');
update public.spending_limits set credits_used = 0, period_credits_used = 0, credit_limit = 10, period_credit_limit = 4, period_started_at = date_trunc('day', now(), 'UTC')
where spender_id = tests.id('member') and workspace_id = tests.id('team');
select pg_temp.told();
select pg_temp.use(3.5);
select is(pg_temp.told(), 'limit_share 0.8 period_credit_limit 0.8750', 'one limit is used up to its line');
select pg_temp.use(0.2);
select is(pg_temp.told(), null, 'past the line without crossing it nothing fires');
update public.spending_limits set period_credits_used = 3.3, credits_used = 7.9 where period_credit_limit = 4;
select pg_temp.use(0.2);
select is(pg_temp.told(), 'limit_share 0.8 credit_limit 0.8100', 'which hides nothing of the other');
update public.spending_limits set period_credits_used = 3.1, credits_used = 7.9 where period_credit_limit = 4;
select pg_temp.use(0.2);
select is(pg_temp.told(), 'limit_share 0.8 credit_limit 0.8100, limit_share 0.8 period_credit_limit 0.8250', 'both at once are two');

-- A key's budgets.
insert into public.api_keys (workspace_id, user_id, name, prefix, budget) values (tests.id('team'), tests.id('owner'), 'k', 'sk-', 100);
update public.spending_limits set credits_used = 5 where spender_kind = 'api_key';
select tests.sign_in('owner');
update public.api_keys set budget = 6;
select tests.be_postgres();
select is(pg_temp.told(), 'limit_share 0.8 budget 0.8333', 'a lower budget of a key');
update public.api_keys set budget = 5.5;
select is(pg_temp.told(), null, 'once');
update public.api_keys set budget = 100, period_budget = 100, budget_period = 'day';
update public.spending_limits set credits_used = 0, period_credits_used = 5, period_started_at = date_trunc('day', now(), 'UTC') where spender_kind = 'api_key';
update public.api_keys set period_budget = 6;
select is(pg_temp.told(), 'limit_share 0.8 period_budget 0.8333', 'and of a period');
update public.api_keys set period_budget = 100;
update public.spending_limits set period_started_at = period_started_at - interval '1 day' where spender_kind = 'api_key';
update public.api_keys set period_budget = 6;
select is(pg_temp.told(), null, 'unless it is over');

-- The overdraft.
delete from public.credit_alerts;
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'overdraft', 0), (tests.id('team'), 'debt', 0), (tests.id('team'), 'low_balance', 50);
update public.credit_wallets set overdraft_limit = 10 where workspace_id = tests.id('team');
select is(pg_temp.told(), null, 'an overdraft that is not drawn on');
select public.debit_user_credits_transaction(tests.id('owner'), w.credits_balance + 5, 'manual', workspace_id => w.workspace_id) from public.credit_wallets w where w.workspace_id = tests.id('team');
select is(pg_temp.told(), 'low_balance 50 -5, overdraft 0 -5', 'and one that is');
update public.credit_wallets set overdraft_limit = 7 where workspace_id = tests.id('team');
select is(pg_temp.told(), null, 'a smaller one that suffices');
update public.credit_wallets set overdraft_limit = 0 where workspace_id = tests.id('team');
select is(pg_temp.told(), 'debt 0 -5', 'without one it is debt');
update public.credit_wallets set overdraft_limit = 10 where workspace_id = tests.id('team');
select is(pg_temp.told(), 'overdraft 0 -5', 'with one again it is drawn on');
update public.credit_alerts set is_active = false;
update public.credit_wallets set overdraft_limit = 0 where workspace_id = tests.id('team');
select is(pg_temp.told(), null, 'an alert that is off fires nothing');
select is((select count(*)::integer from public.credit_alerts where last_fired_at is not null), 3, 'when they fired is noted');

select * from finish();
rollback;
