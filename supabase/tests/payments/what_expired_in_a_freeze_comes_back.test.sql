-- While a payment is disputed nothing can be spent: what expires meanwhile comes back when the freeze is lifted, for the time
-- that it had left.
begin;
select plan(19);
select tests.sell('pack', 100), tests.sell('month', 100, expires_after_days => 30), tests.sell('rolling', 100, 'pro');
update public.plans set credit_rollover = 'capped', credit_rollover_cap = 30 where plan = 'pro';
select tests.create_guest(n) from unnest(array['won', 'lost', 'before', 'debt', 'refunded', 'held', 'rolled']) n;
-- Each person buys a pack on the first and disputes it on the tenth; gifts are for a number of days.
create function pg_temp.day(day integer) returns timestamptz language sql as $$
  select '2026-01-01'::timestamptz + make_interval(days => day - 1) $$;
create function pg_temp.tell(id text, day integer, facts jsonb, name text) returns void language sql as $$
  select tests.deliver(format('%s %s', id, name), jsonb_set(facts, '{customer}', jsonb_build_object('id', name)), pg_temp.day(day), pg_temp.day(day)) $$;
create function pg_temp.dispute(name text, day integer, status text) returns void language sql as $$
  select pg_temp.tell(format('dispute %s', day), day, tests.reversed('tran_' || name, 1000, 'dispute', status, 'd_' || name), name) $$;
create function pg_temp.give(name text, amount numeric, days integer) returns void language sql as $$
  select public.credit_user_credits_transaction(tests.id(name), give.amount, 'gift', expires_at => pg_temp.day(1 + days), at => pg_temp.day(1)) $$;
create function pg_temp.balance(name text, day integer) returns numeric language sql as $$
  select public.expire_credits(tests.id(name), pg_temp.day(day));
  select trim_scale(credits_balance) from public.credit_wallets where workspace_id = tests.id(name) $$;
select pg_temp.tell('pack', 1, tests.paid_pack('pack', 'tran_' || n, n), n)
from unnest(array['won', 'lost', 'before', 'debt', 'refunded', 'held', 'rolled']) n;

select pg_temp.give('won', 50, 19), public.debit_user_credits_transaction(tests.id('won'), 10, 'use', at => pg_temp.day(5));
select pg_temp.dispute('won', 10, 'open');
select is(pg_temp.balance('won', 25), 0::numeric, 'a gift expires while the wallet is frozen');
select pg_temp.dispute('won', 30, 'won');
select is(pg_temp.balance('won', 39), 140::numeric, 'won, the pack comes back and what was left of the gift');
select is(pg_temp.balance('won', 40), 100::numeric, 'which has the ten days that it had left when it was frozen');
select is(tests.ledger('won'), 'credit 100 purchase, credit 50 gift, debit -10 use, clawback -100 dispute, expire -40 expiry, '
  'credit 100 purchase, credit 40 dispute, expire -40 expiry', 'the ledger tells of it');
select pg_temp.dispute('won', 45, 'open'), pg_temp.dispute('won', 50, 'won');
select is(pg_temp.balance('won', 50), 100::numeric, 'what expired before the next freeze stays so');

select pg_temp.give('lost', 50, 19), pg_temp.give('lost', 7, 60);
select pg_temp.dispute('lost', 10, 'lost');
select is(pg_temp.balance('lost', 25), 7::numeric, 'a lost dispute freezes on');
select public.resolve_dispute('creem', 'd_lost', 'lost', pg_temp.day(30));
select is(pg_temp.balance('lost', 39), 57::numeric, 'when an admin lifts that, the gift comes back, for it was not disputed');

select pg_temp.give('before', 50, 9), pg_temp.give('before', 20, 24);
select pg_temp.dispute('before', 10, 'open'), pg_temp.dispute('before', 30, 'won');
select is(pg_temp.balance('before', 30), 120::numeric, 'not what was due when the freeze began; what no sweep has met yet does');

select pg_temp.give('debt', 50, 19), public.debit_user_credits_transaction(tests.id('debt'), 140, 'use', at => pg_temp.day(5));
select tests.remember('work', (public.hold_credits(tests.id('debt'), 0, 'use', expires_in => '29 days', at => pg_temp.day(9))).hold_id);
select pg_temp.dispute('debt', 10, 'lost');
select is(pg_temp.balance('debt', 15), -90::numeric, 'a debt of what was used of the disputed pack');
select pg_temp.give('debt', 100, 20), pg_temp.balance('debt', 25);
select is(pg_temp.balance('debt', 25), 0::numeric, 'paid by a gift, of which the rest expires');
select public.settle_credit_hold(tests.recall('work')::uuid, 4, at => pg_temp.day(26));
select public.resolve_dispute('creem', 'd_debt', 'lost', pg_temp.day(30));
select is(pg_temp.balance('debt', 30), 6::numeric, 'what comes back pays debt first');

select pg_temp.tell('month', 1, tests.paid_pack('month', 'tran_month', 'refunded'), 'refunded');
select pg_temp.dispute('refunded', 10, 'open'), pg_temp.balance('refunded', 35);
select pg_temp.tell('refund', 36, tests.reversed('tran_month', 400, id => 'ref_month'), 'refunded');
select pg_temp.dispute('refunded', 40, 'won');
select is(pg_temp.balance('refunded', 60), 160::numeric, 'not what was refunded meanwhile');
select is(pg_temp.balance('refunded', 61), 100::numeric, 'its pack too has what it had left');

select pg_temp.give('held', 50, 8);
select tests.remember('hold', (public.hold_credits(tests.id('held'), 150, 'use', expires_in => '10 days', at => pg_temp.day(8))).hold_id);
select pg_temp.dispute('held', 10, 'open'), public.release_credit_hold(tests.recall('hold')::uuid, pg_temp.day(12));
select pg_temp.dispute('held', 20, 'won');
select is(pg_temp.balance('held', 20), 100::numeric, 'not what a hold alone had kept before');

select pg_temp.tell('one', 1, tests.paid_period('rolling', pg_temp.day(1), 'rolled', 'sub_r'), 'rolled');
select pg_temp.dispute('rolled', 10, 'open');
select pg_temp.tell('two', 31, tests.paid_period('rolling', pg_temp.day(31), 'rolled', 'sub_r'), 'rolled');
select is(pg_temp.balance('rolled', 32), 130::numeric, 'a rollover''s cap ends what is above it');
select pg_temp.dispute('rolled', 40, 'won');
select is(pg_temp.balance('rolled', 40), 230::numeric, 'and goes on to');
select pg_temp.balance('rolled', 65);
select pg_temp.dispute('rolled', 70, 'open');
select is(pg_temp.balance('rolled', 70), 0::numeric, 'all is over');
select is((select frozen_at from public.credit_wallets where workspace_id = tests.id('rolled')), pg_temp.day(70), 'and frozen');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
