begin;
select plan(14);
select tests.create_user('ann'), tests.create_user('ben');
select tests.create_team('team'), tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'ben');
select public.credit_user_credits_transaction(tests.id('ann'), 100, 'manual', workspace_id => tests.id('team'));
create function pg_temp.used() returns text language sql as $$
  select format('%s in all, %s in the period', trim_scale(credits_used), trim_scale(period_credits_used))
  from public.spending_limits where workspace_id = tests.id('team') and spender_id = tests.id('ben')
$$;
create function pg_temp.use(amount numeric, at timestamptz default clock_timestamp()) returns text language plpgsql as $$
begin
  perform public.debit_user_credits_transaction(tests.id('ben'), amount, 'manual', workspace_id => tests.id('team'), at => at);
  return 'used';
exception when others then
  return coalesce(substring(sqlerrm from 'limit_reached'), sqlerrm); -- with Retry-After the message is JSON
end $$;
create function pg_temp.limit_to(amount numeric, period public.calendar_period, in_all numeric default null) returns void language plpgsql as $$
begin
  perform tests.sign_in('ann');
  perform public.set_member_limit(tests.id('team'), tests.id('ben'), in_all, amount, period);
  perform tests.be_postgres();
end $$;

select is(pg_temp.use(7, now() - interval '40 days'), 'used', 'a month ago there was no limit');
select pg_temp.limit_to(3, 'day');
select is(pg_temp.used(), '7 in all, 0 in the period', 'what was used before the period is not of it');
select is(pg_temp.use(2.9), 'used', 'most of a day''s limit is used');
select pg_temp.limit_to(3, 'day');
select is(pg_temp.used(), '9.9 in all, 2.9 in the period', 'the same limit set again gives nothing');
select is(pg_temp.use(0.2), 'limit_reached', 'and is as used as it was');
select pg_temp.limit_to(3, 'month');
select is(pg_temp.use(0.2), 'limit_reached', 'a month''s counts what was used today');
select pg_temp.limit_to(3, 'day');
select is(pg_temp.use(0.2), 'limit_reached', 'and a day''s again');
select public.refund_user_credits(tests.id('ben'), 1, 'refund', workspace_id => tests.id('team'));
select pg_temp.limit_to(3, 'week');
select is(pg_temp.used(), '8.9 in all, 1.9 in the period', 'refunds are taken off');
select pg_temp.limit_to(null, null);
select is(pg_temp.use(5), 'used', 'without a limit it goes on');
select pg_temp.limit_to(7, 'month');
select is(pg_temp.use(0.2), 'limit_reached', 'and counts towards the next limit');
select is(pg_temp.use(0.1), 'used', 'to its end');
select pg_temp.limit_to(null, null, 14);
select is(pg_temp.used(), '14 in all, 7 in the period', 'what was used in all stays');
select is(pg_temp.use(0.1), 'limit_reached', 'for a limit in all');
select is_empty($$
  select m.spender_id from public.spending_limits m where m.period_credits_used <> (
    select -sum(t.amount) from public.credit_transactions t where t.workspace_id = m.workspace_id and t.user_id = m.spender_id
      and t.transaction_type in ('debit', 'refund') and t.created_at >= m.period_started_at)
$$, 'a count is what the ledger has of the period');

select * from finish();
rollback;
