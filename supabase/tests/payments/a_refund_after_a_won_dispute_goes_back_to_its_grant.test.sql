begin;
select plan(8);
select tests.create_user('owner');
select tests.sell('pack', 100);
select tests.deliver('evt_1', tests.paid_pack('pack', 'tran_1', 'owner'), '2026-01-01', '2026-01-01');
select public.debit_user_credits_transaction(tests.id('owner'), 43, 'generation', at => '2026-01-02');
select tests.remember('entry', tests.last_entry('owner'));
select public.credit_user_credits_transaction(tests.id('owner'), 50, 'gift', at => '2026-01-03');
select is(tests.grants('owner'), '0 of 3 free, 60 of 100 purchase, 50 of 50 free', 'a pack of which 40 are used, and a gift');

select tests.deliver('evt_2', tests.reversed('tran_1', 1000, 'dispute', 'open', 'd_1'), '2026-01-04', '2026-01-04');
select is(tests.grants('owner'), '0 of 3 free, 0 of 100 purchase, 10 of 50 free', 'a dispute takes what was used from the gift');
select tests.deliver('evt_3', tests.reversed('tran_1', 1000, 'dispute', 'won', 'd_1'), '2026-01-05', '2026-01-05');
select is(tests.grants('owner'), '0 of 3 free, 60 of 100 purchase, 50 of 50 free', 'won, each has again what was its');
select public.refund_user_credits(tests.id('owner'), 43, 'refund', transaction_id => tests.recall('entry')::bigint, at => '2026-01-06');
select is(tests.grants('owner'), '3 of 3 free, 100 of 100 purchase, 50 of 50 free', 'what the entry took goes back to its grants: none of 30 days is made');

-- Once more, with debt in between and part of it used elsewhere.
select public.debit_user_credits_transaction(tests.id('owner'), 143, 'generation', at => '2026-01-07');
select tests.remember('entry', tests.last_entry('owner'));
select tests.deliver('evt_4', tests.reversed('tran_1', 1000, 'dispute', 'open', 'd_2'), '2026-01-08', '2026-01-08');
select tests.deliver('evt_5', tests.reversed('tran_1', 1000, 'dispute', 'won', 'd_2'), '2026-01-09', '2026-01-09');
select is(tests.wallet('owner'), 'balance 10, total 153, spent 143, expired 0, held 0', 'debt is paid first');
select public.refund_user_credits(tests.id('owner'), 143, 'refund', transaction_id => tests.recall('entry')::bigint, at => '2026-01-10');
select is(tests.grants('owner'), '3 of 3 free, 100 of 100 purchase, 50 of 50 free', 'and the refund finds the same grants');
select is((select count(*)::integer from public.credit_grants where kind = 'refund'), 0, 'with no other');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
