begin;
select plan(6);
select tests.create_guest('owner');
select tests.be_service();
select tests.remember('pack',
  (public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase',
  expires_at => now() + interval '10 days')).grant_id);
select public.credit_user_credits_transaction(tests.id('owner'), 20, 'purchase');
select public.debit_user_credits_transaction(tests.id('owner'), 8, 'generation');
select tests.remember('debit', tests.last_entry('owner'));
select public.clawback_credits(tests.recall('pack')::uuid, 10, 'refund');
select is(tests.grants('owner'), '0 of 10 purchase, 12 of 20 purchase',
  'a pack that was used is taken back from another');

select public.refund_user_credits(tests.id('owner'), 8, 'refund', transaction_id => tests.recall('debit')::bigint);
select is(tests.grants('owner'), '0 of 10 purchase, 12 of 20 purchase, 8 of 8 refund',
  'its use is refunded as a new grant');
select lives_ok($$ select public.expire_credits(tests.id('owner'), now() + interval '11 days') $$, 'its expiry comes');
select is(tests.wallet('owner'), 'balance 20, total 20, spent 0, expired 0, held 0', 'and takes nothing');
select lives_ok($$ select public.expire_credits(tests.id('owner'), now() + interval '31 days') $$,
  'that of the refund comes');
select is(tests.wallet('owner'), 'balance 12, total 20, spent 0, expired 8, held 0', 'and takes the refund');

select * from finish();
rollback;
