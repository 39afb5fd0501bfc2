-- Priority, then soonest expiry, then free before paid, then oldest. Each grant has an amount of its own to be told by.
begin;
select plan(7);
select tests.create_guest('owner');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), given.amount, given.reason,
  expires_at => now() + given.lives, priority => given.priority)
from (values
  (1, 'manual', interval '1 day', 9),
  (2, 'purchase', null, 0),
  (3, 'manual', null, 0),
  (4, 'manual', null, 0),
  (5, 'purchase', interval '2 days', 0),
  (6, 'subscription', interval '1 day', 0),
  (7, 'purchase', interval '9 days', -1)
) given (amount, reason, lives, priority);

select public.debit_user_credits_transaction(tests.id('owner'), 7, 'generation');
select matches(tests.grants('owner'), '0 of 7', 'the lowest priority number first, however long it lives');
select public.debit_user_credits_transaction(tests.id('owner'), 6, 'generation');
select matches(tests.grants('owner'), '0 of 6', 'then what expires soonest');
select public.debit_user_credits_transaction(tests.id('owner'), 5, 'generation');
select matches(tests.grants('owner'), '0 of 5', 'then what expires later');
select public.debit_user_credits_transaction(tests.id('owner'), 5, 'generation');
select matches(tests.grants('owner'), '2 of 2 purchase, 0 of 3 free, 2 of 4 free',
  'of what never expires the free before the paid, oldest first');
select public.debit_user_credits_transaction(tests.id('owner'), 3, 'generation');
select matches(tests.grants('owner'), '1 of 2 purchase, 0 of 3 free, 0 of 4 free', 'one debit may take from several');
select is(tests.grant_changes(tests.last_entry('owner')), '-2 free, -1 purchase', 'and records how much from which');
select public.debit_user_credits_transaction(tests.id('owner'), 2, 'generation');
select is(tests.grants('owner'),
  '0 of 1 free, 0 of 2 purchase, 0 of 3 free, 0 of 4 free, 0 of 5 purchase, 0 of 6 subscription, 0 of 7 purchase',
  'the highest priority number last');

select * from finish();
rollback;
