begin;
select plan(16);
select tests.create_guest('keeps_none');
select tests.create_guest('keeps_all');
select tests.create_guest('keeps_some');
select tests.create_guest('holds');
select tests.create_guest('back');
select tests.sell('prod_none', 100, 'basic');
select tests.sell('prod_all', 100, 'creator');
select tests.sell('prod_some', 100, 'pro');
select tests.sell('prod_pack', 50);
update public.plans set credit_rollover = 'all' where plan = 'creator';
update public.plans set credit_rollover = 'capped', credit_rollover_cap = 30 where plan = 'pro';
select tests.be_service();

select tests.deliver('evt_n1', tests.paid_period('prod_none', '2026-01-01', 'keeps_none', 'sub_n'));
select tests.deliver('evt_a1', tests.paid_period('prod_all', '2026-01-01', 'keeps_all', 'sub_a'));
select tests.deliver('evt_s1', tests.paid_period('prod_some', '2026-01-01', 'keeps_some', 'sub_s'));
select tests.deliver('evt_p', jsonb_set(tests.paid_pack('prod_pack', 'tran_pack', 'keeps_none'), '{customer,id}', '"cust_n"'));
select tests.deliver('evt_n2', tests.paid_period('prod_none', '2026-01-31', 'keeps_none', 'sub_n'), at => '2026-01-31');
select tests.deliver('evt_a2', tests.paid_period('prod_all', '2026-01-31', 'keeps_all', 'sub_a'), at => '2026-01-31');
select tests.deliver('evt_s2', tests.paid_period('prod_some', '2026-01-31', 'keeps_some', 'sub_s'), at => '2026-01-31');

select is(tests.wallet('keeps_none'), 'balance 250, total 250, spent 0, expired 0, held 0',
  'without rollover the old credits live through their grace');
select public.expire_credits(tests.id('keeps_none'), '2026-02-04');
select is(tests.wallet('keeps_none'), 'balance 150, total 250, spent 0, expired 100, held 0',
  'and end then; what was bought is not touched');
select public.expire_credits(tests.id('keeps_all'), '2026-02-04');
select is(tests.wallet('keeps_all'), 'balance 200, total 200, spent 0, expired 0, held 0', 'with rollover they live on');
select is(tests.wallet('keeps_some'), 'balance 130, total 200, spent 0, expired 70, held 0', 'up to the cap where there is one');
select public.expire_credits(tests.id('keeps_some'), '2026-02-04');
select is(tests.wallet('keeps_some'), 'balance 130, total 200, spent 0, expired 70, held 0', 'and those live on as well');

select public.debit_user_credits_transaction(tests.id('keeps_some'), 20, 'generation', at => '2026-02-10');
select tests.deliver('evt_s2_again', tests.paid_period('prod_some', '2026-01-31', 'keeps_some', 'sub_s'), at => '2026-02-11');
select is(tests.wallet('keeps_some'), 'balance 110, total 200, spent 20, expired 70, held 0', 'hearing of it again brings nothing back');
select tests.deliver('evt_s3', tests.paid_period('prod_some', '2026-03-02', 'keeps_some', 'sub_s'), at => '2026-03-02');
select is(tests.wallet('keeps_some'), 'balance 130, total 300, spent 20, expired 150, held 0', 'the cap is for all that lives on');

select tests.deliver('evt_a3', tests.paid_period('prod_all', '2026-03-02', 'keeps_all', 'sub_a'), at => '2026-03-20');
select is(tests.wallet('keeps_all'), 'balance 300, total 500, spent 0, expired 200, held 0',
  'a renewal heard of late brings back what had ended meanwhile');
select public.expire_credits(tests.id('keeps_all'), '2026-05-01');
select is(tests.wallet('keeps_all'), 'balance 0, total 500, spent 0, expired 500, held 0', 'all of it ends with the last paid period');
select tests.deliver('evt_a4', tests.paid_period('prod_all', '2026-03-02', 'keeps_all', 'sub_a'), at => '2026-05-02');
select is(tests.wallet('keeps_all'), 'balance 0, total 500, spent 0, expired 500, held 0', 'and hearing of it again brings none back');
select tests.deliver('evt_b1', tests.paid_period('prod_all', '2026-01-01', 'back', 'sub_b'));
select tests.deliver('evt_b2', tests.paid_period('prod_all', '2026-01-31', 'back', 'sub_b'), '2026-01-31', '2026-01-31');
select tests.deliver('evt_b3', tests.reversed('tran_b_20260131', 1000, id => 'ref_b'), '2026-02-01', '2026-02-01');
select is(tests.wallet('back'), 'balance 100, total 100, spent 0, expired 0, held 0', 'a period that was given back takes its credits');
select public.expire_credits(tests.id('back'), '2026-02-04');
select is(tests.wallet('back'), 'balance 0, total 100, spent 0, expired 100, held 0', 'and lets none live on');
select tests.deliver('evt_h1', tests.paid_period('prod_some', '2026-01-01', 'holds', 'sub_h'));
select public.hold_credits(tests.id('holds'), 90, 'generation', expires_in => '29 days', at => '2026-01-20');
select tests.deliver('evt_h2', tests.paid_period('prod_none', '2026-01-31', 'holds', 'sub_h', units => 1), at => '2026-01-31');
select is_empty('select * from public.verify_credits()', 'a hold keeps what it needs');
select cmp_ok((select credits_balance - credits_held from public.credit_wallets where workspace_id = tests.id('holds')), '>=', 0::numeric,
  'of what a cap would end');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select is(tests.wallet('keeps_none'), 'balance 150, total 250, spent 0, expired 100, held 0', 'nobody else is touched');

select * from finish();
rollback;
