begin;
select plan(12);
select tests.create_guest('owner'), tests.create_guest('other');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'promotion',
  expires_at => now() + interval '1 day');
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'subscription',
  expires_at => now() + interval '2 days');
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase');
select public.credit_user_credits_transaction(tests.id('other'), 1, 'manual', expires_at => now() + interval '2 days');
select public.debit_user_credits_transaction(tests.id('owner'), 2, 'generation');

select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 11, 'generation',
  at => now() + interval '1 day') $$, 'PT402', 'insufficient_credits',
  'a grant is gone at its time, without a sweep');
select lives_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 1, 'generation',
  at => now() + interval '1 day') $$, 'an operation takes it first');
select is(tests.ledger('owner'),
  'credit 5 promotion, credit 5 subscription, credit 5 purchase, debit -2 generation, '
    'expire -3 expiry, debit -1 generation', 'as an entry of what was left of it');
select is(tests.wallet('owner'), 'balance 9, total 15, spent 3, expired 3, held 0',
  'expired is neither spent nor taken back');
select is((select expired_amount::numeric from public.credit_grants
  where workspace_id = tests.id('owner') and kind = 'promotion'), 3::numeric, 'the grant knows');
select is((select next_expiry_at from public.credit_wallets where workspace_id = tests.id('owner')),
  now() + interval '2 days', 'the wallet knows when the next is due');

select is(public.expire_credits(at => now() + interval '1 day'), 0, 'the sweep finds nothing that is not due');
select is(sum(public.expire_credits(at => now() + interval '3 days')), 2::bigint, 'and takes one wallet at a time')
from generate_series(1, 2);
select is(public.expire_credits(at => now() + interval '3 days'), 0, 'until none is left');
select is(tests.wallet('owner') || '; ' || tests.wallet('other'),
  'balance 5, total 15, spent 3, expired 7, held 0; balance 0, total 1, spent 0, expired 1, held 0',
    'everything due is gone');
select is((select next_expiry_at from public.credit_wallets where workspace_id = tests.id('owner')), null,
  'what never expires stays');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
