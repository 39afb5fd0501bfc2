begin;
select plan(13);
select tests.create_user('owner'), tests.create_user('other');
select tests.sell('prod_basic_x', 10, 'basic');
create function pg_temp.period(at timestamptz) returns text
language sql as $$
  select to_char(p.period_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' to ' || to_char(p.period_end at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
  from private.feature_period(tests.id('owner'), at) p
$$;
select is(pg_temp.period('2026-03-31 23:59:59+00'), '2026-03-01 00:00 to 2026-04-01 00:00', 'without a subscription it is the calendar month');
select is(pg_temp.period('2026-04-01 00:00+00'), '2026-04-01 00:00 to 2026-05-01 00:00', 'which begins at midnight');
set local timezone to 'America/New_York';
select is(pg_temp.period('2026-03-31 23:59:59+00'), '2026-03-01 00:00 to 2026-04-01 00:00', 'in UTC, wherever the session is');
set local timezone to 'UTC';
select tests.deliver('e1', tests.paid_period('prod_basic_x', '2026-05-10 12:00+00', 'owner'), '2026-05-10 12:00+00', '2026-05-10 12:00+00');
select is(pg_temp.period('2026-05-10 12:00+00'), '2026-05-10 12:00 to 2026-06-09 12:00', 'a subscription has its own');
select is((private.feature_period(tests.id('other'), '2026-05-10 12:00+00')).period_start, '2026-05-01 00:00+00'::timestamptz, 'and nobody else''s');
select is(pg_temp.period('2026-06-09 11:59+00'), '2026-05-10 12:00 to 2026-06-09 12:00', 'to its end');
select is(pg_temp.period('2026-06-09 12:00+00'), '2026-06-09 12:00 to 2026-07-09 12:00', 'while a renewal is not told of, the next one has begun');
select is(pg_temp.period('2026-07-10 00:00+00'), '2026-07-09 12:00 to 2026-08-08 12:00', 'and so on');
select public.consume_feature('message', 2, tests.id('owner'), at => '2026-06-09 13:00+00');
select tests.deliver('e2', tests.paid_period('prod_basic_x', '2026-06-09 12:00+00'), '2026-06-09 14:00+00', '2026-06-09 14:00+00');
select is(to_jsonb(public.check_feature('message', 1, tests.id('owner'), at => '2026-06-09 15:00+00')) ->> 'used', '2', 'what was used meanwhile counts to the renewed period');
select is(pg_temp.period('2026-05-05+00'), '2026-05-01 00:00 to 2026-06-01 00:00', 'before it there was the calendar month');
update public.user_subscriptions set current_period_end = current_period_start;
select is(pg_temp.period('2026-06-20+00'), '2026-06-01 00:00 to 2026-07-01 00:00', 'a period without length is none');
update public.user_subscriptions set current_period_end = 'infinity';
select is(pg_temp.period('2026-06-20+00'), '2026-06-01 00:00 to 2026-07-01 00:00', 'nor is one without end');
update public.user_subscriptions set is_live = false, current_period_end = current_period_start + interval '30 days';
select is(pg_temp.period('2026-06-20+00'), '2026-06-01 00:00 to 2026-07-01 00:00', 'nor is that of a subscription that is not live');
select * from finish();
rollback;
