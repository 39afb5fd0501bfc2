begin;
select plan(10);
select tests.create_user('ann'), tests.create_user('ben');
select tests.create_team('team'), tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'ben');
select public.credit_user_credits_transaction(tests.id('ann'), 100, 'manual', workspace_id => tests.id('team'));
update public.spending_limits set counts_since = now() - interval '10 days' where workspace_id = tests.id('team');
create function pg_temp.used() returns text language sql as $$
  select format('%s in all, %s in the period', trim_scale(credits_used), trim_scale(period_credits_used))
  from public.spending_limits where workspace_id = tests.id('team') and spender_id = tests.id('ben')
$$;
create function pg_temp.use(amount numeric, at timestamptz) returns bigint language sql as $$
  select (public.debit_user_credits_transaction(tests.id('ben'), amount, 'manual', workspace_id => tests.id('team'), at => at)).transaction_id $$;
create function pg_temp.give_back(amount numeric, entry_id bigint, at timestamptz) returns text language plpgsql as $$
begin
  perform public.refund_user_credits(tests.id('ben'), amount, 'refund', workspace_id => tests.id('team'), transaction_id => entry_id, at => at);
  return pg_temp.used();
end $$;
create function pg_temp.today() returns timestamptz language sql as $$ select date_trunc('day', now(), 'UTC') + interval '1 hour' $$;
update public.workspace_member_credits set limit_period = 'day', period_credit_limit = 10
where workspace_id = tests.id('team') and user_id = tests.id('ben');

create temporary table entries (name text, id bigint);
insert into entries values ('yesterday', pg_temp.use(8, pg_temp.today() - interval '1 day'));
insert into entries values ('today', pg_temp.use(3, pg_temp.today()));
select is(pg_temp.used(), '11 in all, 3 in the period', 'a day counts what it used');
select is(pg_temp.give_back(5, (select id from entries where name = 'yesterday'), pg_temp.today()), '6 in all, 3 in the period',
  'what comes back of yesterday is not of today');
select is(pg_temp.give_back(1, (select id from entries where name = 'today'), pg_temp.today()), '5 in all, 2 in the period',
  'what comes back of today is');
select is(pg_temp.give_back(3, null, pg_temp.today()), '2 in all, 0 in the period', 'and nothing more than was used');
select throws_ok($$ select pg_temp.use(10.1, pg_temp.today()) $$, 'PGRST', null, 'so that the limit is never more than it says');
select tests.sign_in('ann');
select public.set_member_limit(tests.id('team'), tests.id('ben'), null, 10, 'day');
select tests.be_postgres();
select is(pg_temp.used(), '2 in all, 0 in the period', 'a limit that is set counts in the same way');

-- A membership begins with nothing used, and what an earlier one gets back is not its own.
delete from public.workspace_members where workspace_id = tests.id('team') and user_id = tests.id('ben');
select tests.join_team('team', 'ben');
select is(pg_temp.give_back(2, (select id from entries where name = 'yesterday'), pg_temp.today()), '0 in all, 0 in the period',
  'who comes back has no credit of the time before');
select public.debit_user_credits_transaction(tests.id('ben'), 6, 'manual', workspace_id => tests.id('team'));
select is(pg_temp.used(), '6 in all, 6 in the period', 'what is used from then on counts');
select is(pg_temp.give_back(1, (select id from entries where name = 'yesterday'), now()), '6 in all, 6 in the period',
  'and a refund of the time before makes no room in it');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
