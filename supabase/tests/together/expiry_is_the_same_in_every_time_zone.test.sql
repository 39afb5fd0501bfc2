begin;
select plan(13);
select tests.hide_yours();
-- In New York the clocks went forward on 8 March 2026: a day of 23 hours there.
set local timezone = 'America/New_York';
select tests.create_user('owner');
select tests.create_user('member');
select tests.sell('pack', 10, expires_after_days => 30);
select tests.sell('plan', 10, 'basic');
create function pg_temp.utc(moment timestamptz) returns text language sql as $$ select to_char(moment at time zone 'UTC', 'YYYY-MM-DD HH24:MI') $$;

select public.hold_credits(tests.id('owner'), 1, 'test', expires_in => '30 days', at => '2026-02-07 00:00+00');
select is((select pg_temp.utc(h.expires_at) from public.credit_holds h), '2026-03-09 00:00', 'a hold lives 30 days of UTC');
select public.extend_credit_hold(h.id, 0, '30 days', at => '2026-02-08 00:00+00') from public.credit_holds h;
select is((select pg_temp.utc(h.expires_at) from public.credit_holds h), '2026-03-10 00:00', 'and so it is extended');
select public.release_credit_hold(h.id, at => '2026-02-08 00:00+00') from public.credit_holds h;

select public.debit_user_credits_transaction(tests.id('member'), 1, 'test', at => '2026-02-07 00:00+00');
select public.refund_user_credits(tests.id('member'), 1, 'refund', at => '2026-02-07 00:00+00');
select is((select pg_temp.utc(g.expires_at) from public.credit_grants g where g.kind = 'refund'), '2026-03-09 00:00', 'so does a refund grant');

select tests.deliver('evt_pack', tests.paid_pack('pack', 'tran_pack', 'owner') || '{}', '2026-02-07 00:00+00', '2026-02-07 00:00+00');
select is((select pg_temp.utc(g.expires_at) from public.credit_grants g where g.kind = 'purchase'),
  (select pg_temp.utc(p.paid_at + interval '720 hours') from public.payments p where p.payment_id = 'tran_pack'), 'and a pack');
select tests.deliver('evt_plan', tests.paid_period('plan', '2026-02-06 00:00+00', 'owner', length => '720 hours'), '2026-02-06 00:00+00', '2026-02-06 00:00+00');
select is((select pg_temp.utc(g.expires_at) from public.credit_grants g where g.kind = 'subscription'), '2026-03-11 00:00', 'and a period''s with its grace');
select is((select pg_temp.utc(s.access_until) from public.user_subscriptions s), '2026-03-11 00:00', 'and its plan');

select is(pg_temp.utc(private.later('2026-03-01 00:00+00', '1 month')), '2026-04-01 00:00', 'a month later is the next month of UTC');
select is(pg_temp.utc((private.window_at('month', null, 0, '2026-03-31 23:59+00')).started_at), '2026-03-01 00:00', 'a period begins in UTC');

-- The same in all of them: what is told in one zone and asked for in another is one request.
select public.credit_user_credits_transaction(tests.id('member'), 1, 'gift', expires_at => '2100-07-01 00:00+00', idempotency_key => 'k', at => '2026-02-08 00:00+00');
set local timezone = 'Asia/Kolkata';
select is((public.credit_user_credits_transaction(tests.id('member'), 1, 'gift', expires_at => '2100-07-01 00:00+00', idempotency_key => 'k', at => '2026-02-08 00:00+00')).credits_balance,
  4::numeric, 'a retry from another zone is a retry');
select public.expire_credits(tests.id('member'), '2026-03-08 23:59+00');
select matches(tests.wallet('member'), 'expired 0', 'nothing expires before its time');
select public.expire_credits(tests.id('member'), '2026-03-09 00:00+00');
select matches(tests.wallet('member'), 'expired 1', 'nor lives after it');

-- Of days, weeks, months and years the database takes UTC's, or hours.
select is_empty($$
  select p.oid::regprocedure from pg_catalog.pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and p.prosrc ~ '(make_interval\((days|weeks|months|years)|interval ''\d+ (day|week|month|year))'
    and p.prosrc !~ 'at time zone|::date|date_trunc|private\.later\(' and p.prosrc !~ 'generate_series\(first_day'
$$, 'no function adds a span that depends on the session');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
