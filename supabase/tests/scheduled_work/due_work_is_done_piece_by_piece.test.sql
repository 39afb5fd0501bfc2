begin;
select plan(8);
select tests.create_guest('owner'), tests.create_guest('other');
select is(private.run_due_work(), 0, 'at rest there is none');

select public.credit_user_credits_transaction(tests.id('owner'), 5, 'manual', expires_at => now() + interval '1 hour');
select public.credit_user_credits_transaction(tests.id('other'), 5, 'manual');
select public.hold_credits(tests.id('other'), 5, 'generation', expires_in => '1 hour');
select is(private.run_due_work(), 0, 'nor while nothing is due');
select is(private.run_due_work(now() + interval '2 hours') + private.run_due_work(now() + interval '2 hours'), 2,
  'each call does one piece');
select is(tests.wallet('owner') || '; ' || tests.wallet('other'),
  'balance 0, total 5, spent 0, expired 5, held 0; balance 5, total 5, spent 0, expired 0, held 0',
    'grants and holds are expired');
select is(private.run_due_work(now() + interval '2 hours'), 0, 'until there is none');

select is(private.run_due_work(now() + interval '1 month'), 1, 'a month later a partition of the log is missing');
select isnt(to_regclass('private.ai_usage_logs_' || to_char((now() at time zone 'UTC') + interval '4 months',
  'YYYY_MM')), null, 'and is made');
select tests.be_service();
select throws_ok('select private.run_due_work()', '42501', null, 'no role of the API does it');

select * from finish();
rollback;
