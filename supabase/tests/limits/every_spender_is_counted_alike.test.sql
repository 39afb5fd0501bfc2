-- A member and an API key spend by the same rules: one table, one count, open holds in the period in which they were made.
begin;
select plan(19);
select tests.create_user('owner'), tests.create_user('ben'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'ben');
insert into public.api_keys (id, workspace_id, user_id, name, prefix, budget, period_budget, budget_period) values
  (tests.id('key'), tests.id('team'), tests.id('ben'), 'k', 'sk-', 20, 10, 'day');
update public.spending_limits set counts_since = null;
update public.workspace_member_credits set credit_limit = 20, period_credit_limit = 10, limit_period = 'day' where user_id = tests.id('ben');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'manual', workspace_id => tests.id('team'));
create function pg_temp.day(n integer) returns timestamptz language sql as $$ select timestamptz '2026-05-05 12:00+00' + n * interval '1 day' $$;
create function pg_temp.hold(amount numeric, at timestamptz, spender uuid default tests.id('key')) returns uuid language sql as $$
  select (public.hold_credits(tests.id('ben'), amount, 'x', workspace_id => tests.id('team'), at => at, expires_in => '2 days', spender_id => spender)).hold_id $$;
-- What each has used in all and in the period, and has left at a time.
create function pg_temp.state(at timestamptz) returns text language sql as $$
  select string_agg(concat_ws(' ', l.spender_kind, trim_scale(l.credits_used), trim_scale(l.period_credits_used),
    trim_scale((private.spending_left(l.workspace_id, l.spender_id, at)).credits)), ', ' order by l.spender_kind)
  from public.spending_limits l where l.credit_limit is not null $$;

select is(pg_temp.state(pg_temp.day(0)), 'api_key 0 0 10, member 0 0 10', 'neither has used anything');
select tests.remember('hold', pg_temp.hold(8, pg_temp.day(0))::text);
select is(pg_temp.state(pg_temp.day(0)), 'api_key 0 0 2, member 0 0 2', 'what is set aside is not used, and not there');
select is(pg_temp.state(pg_temp.day(1)), 'api_key 0 0 10, member 0 0 10', 'of another period it takes nothing');
select throws_ok($$ select pg_temp.hold(3, pg_temp.day(0)) $$, 'PGRST', null, 'no hold passes a limit');
select throws_ok($$ select public.extend_credit_hold(tests.recall('hold')::uuid, 3, at => pg_temp.day(0)) $$, 'PGRST', null, 'nor grows past it');
select tests.remember('entry', (public.settle_credit_hold(tests.recall('hold')::uuid, 6, at => pg_temp.day(1))).transaction_id::text);
select is(pg_temp.state(pg_temp.day(1)), 'api_key 6 0 10, member 6 0 10', 'what is used under it counts in the period of the hold');
select is(pg_temp.state(pg_temp.day(0)), 'api_key 6 0 4, member 6 0 4', 'of which no more is left');
select public.refund_user_credits(tests.id('owner'), 2, 'x', workspace_id => tests.id('team'), transaction_id => tests.recall('entry')::bigint, at => pg_temp.day(1));
select is(pg_temp.state(pg_temp.day(0)), 'api_key 4 0 6, member 4 0 6', 'a refund gives it back to both');
select public.debit_user_credits_transaction(tests.id('ben'), 1, 'x', workspace_id => tests.id('team'), at => pg_temp.day(1));
select is(pg_temp.state(pg_temp.day(1)), 'api_key 4 0 10, member 5 1 9', 'without the key it is the member''s alone');
update public.api_keys set budget = 4 where id = tests.id('key');
select throws_ok($$ select pg_temp.hold(1, pg_temp.day(1)) $$, 'PT429', 'limit_reached', 'a key''s new budget is its limit');
select is(private.credits_left_to(tests.id('team'), tests.id('ben'), tests.id('key'), pg_temp.day(1)), 0::numeric, 'the least of both is what is left');
select isnt(pg_temp.hold(1, pg_temp.day(1), null), null, 'which leaves the member theirs');
select throws_ok($$ select pg_temp.hold(1, pg_temp.day(1), gen_random_uuid()) $$, 'PT404', 'not_found', 'a spender that the workspace does not have');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
-- What clients see of a use long ago: a period of theirs begins by the clock, whether something is used in it or not.
select is((select format('%s %s %s', k.credits_used, k.period_credits_used, k.period_started_at = date_trunc('day', now(), 'UTC')) from public.api_keys k),
  '4.000000 0 t', 'a key''s columns tell its use in all and today');
select is((select format('%s %s %s', m.credits_used, m.period_credits_used, m.period_started_at = date_trunc('day', now(), 'UTC')) from public.workspace_member_credits m where m.user_id = tests.id('ben')),
  '5.000000 0.000000 t', 'and a member''s theirs');
update public.spending_limits set period_started_at = date_trunc('day', now(), 'UTC'), period_credits_used = 3;
select is((select format('%s %s', k.period_credits_used, m.period_credits_used) from public.api_keys k, public.workspace_member_credits m where m.user_id = tests.id('ben')),
  '3.000000 3.000000', 'of a period that is under way they tell what is used');

delete from public.workspace_members where workspace_id = tests.id('team') and user_id = tests.id('ben');
select is((select string_agg(l.spender_kind, ' ' order by l.spender_id = tests.id('key')) from public.spending_limits l), 'member api_key', 'a member''s limit ends with the membership');
delete from public.workspaces where id = tests.id('team');
select is_empty('select * from public.spending_limits', 'and all with the workspace');

select * from finish();
rollback;
