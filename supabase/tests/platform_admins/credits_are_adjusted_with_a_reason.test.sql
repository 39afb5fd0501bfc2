begin;
select plan(21);
select tests.create_user(n) from unnest(array['customer', 'platform', 'mate']) n;
select tests.create_team('team');
insert into public.workspace_members (workspace_id, user_id, role) values (tests.id('team'), tests.id('mate'), 'owner');
update public.users set role = 'admin' where id = tests.id('platform');

select tests.sign_in('platform');
select is((public.admin_adjust_credits(tests.id('customer'), 7, 'they wrote in', 'k1')).credits_balance, 10::numeric, 'credits are given');
select is((public.admin_adjust_credits(tests.id('customer'), 7, 'they wrote in', 'k1')).credits_balance, 10::numeric, 'once a key');
select throws_ok($$ select public.admin_adjust_credits(tests.id('customer'), 8, 'they wrote in', 'k1') $$, 'PT409', 'idempotency_conflict', 'which is for one request');
select is((public.admin_adjust_credits(tests.id('customer'), -4, 'too much', 'k2')).credits_balance, 6::numeric, 'and taken');
select is((public.admin_adjust_credits(tests.id('customer'), -4, 'too much', 'k2')).credits_balance, 6::numeric, 'once a key as well');
select throws_ok($$ select public.admin_adjust_credits(tests.id('customer'), -6.000001, 'why', 'k3') $$, 'PT402', 'insufficient_credits', 'never into debt');
select public.admin_set_overdraft(tests.id('customer'), 100, 'why');
select throws_ok($$ select public.admin_adjust_credits(tests.id('customer'), -7, 'why', 'k3') $$, 'PT402', 'insufficient_credits', 'not even where an overdraft is');
select throws_ok($$ select public.admin_adjust_credits(tests.id('customer'), 50000, 'why', 'k3') $$, 'PT422', 'credits_cap_exceeded', 'the cap holds');
select throws_ok($$ select public.admin_adjust_credits(tests.id('customer'), 1, 'why', 'k3', 'purchase') $$, 'PT400', 'invalid_request', 'nobody is given what was bought');
select throws_ok($$ select public.admin_adjust_credits(tests.id('customer'), 0, 'why', 'k3') $$, 'PT400', 'invalid_request', 'nothing is nothing');
select throws_ok($$ select public.admin_adjust_credits(tests.id('customer'), 1, ' ', 'k3') $$, 'PT400', 'invalid_request', 'a reason is needed');
select throws_ok($$ select public.admin_adjust_credits(tests.id('customer'), 1, 'why', null) $$, 'PT400', 'invalid_request', 'and a key');
select throws_ok($$ select public.admin_adjust_credits(tests.id('nobody'), 1, 'why', 'k3') $$, 'PT404', 'not_found', 'and a workspace');
select is((public.admin_adjust_credits(tests.id('team'), 20, 'a present', 'k1', 'promotion')).credits_balance, 20::numeric, 'a team is given some too');
select tests.be_postgres();
update public.workspace_member_credits set credit_limit = 1 where workspace_id = tests.id('team');
select tests.be_service();
select is((public.admin_adjust_credits(tests.id('team'), -20, 'taken again', 'k2')).credits_balance, 0::numeric, 'also by the service role');
select is((select credits_used::numeric from public.workspace_member_credits where workspace_id = tests.id('team')), 0::numeric, 'which no member used');
select public.credit_user_credits_transaction(tests.id('customer'), 1, 'manual', idempotency_key => 'k9');
select lives_ok($$ select public.admin_adjust_credits(tests.id('customer'), 1, 'why', 'k9') $$, 'keys of the product are others');
select public.hold_credits(tests.id('customer'), 8, 'generation');
select throws_ok($$ select public.admin_adjust_credits(tests.id('customer'), -1, 'why', 'k10') $$, 'PT402', 'insufficient_credits', 'what is set aside is not taken');

select tests.be_postgres();
select is(tests.ledger('customer'), 'credit 3 signup, credit 7 admin_adjustment, debit -4 admin_adjustment, credit 1 manual, credit 1 admin_adjustment', 'the ledger tells it');
select is((select string_agg(concat_ws(' ', actor_role, details ->> 'amount', details ->> 'reason'), ', ' order by id) from public.audit_logs where action = 'admin_adjust_credits'),
  'authenticated 7 they wrote in, authenticated -4 too much, authenticated 20 a present, service_role -20 taken again, service_role 1 why',
  'and the audit log who and why, each once');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
