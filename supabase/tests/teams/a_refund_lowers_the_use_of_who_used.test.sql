begin;
select plan(7);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_team('team');
select tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'ben');
select public.credit_user_credits_transaction(tests.id('ann'), 100, 'purchase', workspace_id => tests.id('team'));
create function pg_temp.used() returns text language sql as $$
  select string_agg(format('%s of %s', trim_scale(period_credits_used), trim_scale(credits_used)), ', ' order by spender_id = tests.id('ben'))
  from public.spending_limits where workspace_id = tests.id('team')
$$;
select tests.remember('debit', (public.debit_user_credits_transaction(tests.id('ben'), 8, 'x', workspace_id => tests.id('team'))).transaction_id);
select public.debit_user_credits_transaction(tests.id('ann'), 5, 'x', workspace_id => tests.id('team'));
select is(pg_temp.used(), '5 of 5, 8 of 8', 'each has used their own');
select public.refund_user_credits(tests.id('ann'), 3, 'x', workspace_id => tests.id('team'), transaction_id => tests.recall('debit')::bigint);
select is(pg_temp.used(), '5 of 5, 5 of 5', 'a refund of a member''s debit lowers that member''s use, whoever asked for it');
select is((select t.user_id from public.credit_transactions t where t.id = tests.last_entry('team')), tests.id('ben'), 'and its entry is theirs');
select public.refund_user_credits(tests.id('ann'), 2, 'x', workspace_id => tests.id('team'));
select is(pg_temp.used(), '3 of 3, 5 of 5', 'one of no debit lowers the use of whom it is for');
select tests.sign_in('ann');
select public.set_member_limit(tests.id('team'), tests.id('ben'), 10), public.set_member_limit(tests.id('team'), tests.id('ann'), 10);
select tests.be_postgres();
select is(pg_temp.used(), '3 of 3, 5 of 5', 'counted by the ledger it is the same');
delete from public.workspace_members where workspace_id = tests.id('team') and user_id = tests.id('ben');
select public.refund_user_credits(tests.id('ann'), 5, 'x', workspace_id => tests.id('team'), transaction_id => tests.recall('debit')::bigint);
select is(pg_temp.used(), '3 of 3', 'what somebody had used who has left makes nobody else room');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
