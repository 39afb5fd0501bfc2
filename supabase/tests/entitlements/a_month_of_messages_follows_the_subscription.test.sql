-- Messages are counted by the month: of the workspace's subscription, else of the calendar.
begin;
select plan(29);
select tests.create_user('owner'), tests.create_user('other');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('chat', 'Chat', 'up', 100, 0);
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.period(at timestamptz, by_month boolean default true) returns text
language sql as $$
  select to_char(p.period_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' to ' || to_char(p.period_end at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
  from private.feature_period(tests.id('owner'), at, by_month) p
$$;
create function pg_temp.subscribe(starts_at timestamptz, ends_at timestamptz) returns void
language sql as $$ insert into private.plan_periods values (tests.id('owner'), starts_at, ends_at) $$;
create function pg_temp.call(at timestamptz) returns text
language sql as $$
  select concat_ws(' ', coalesce(a ->> 'code', 'admitted'), a ->> 'retry_after') from public.admit_ai_call(tests.id('owner'), 'chat', 1, at => at) a
$$;

select is(pg_temp.period('2026-02-28 23:59+00'), '2026-02-01 00:00 to 2026-03-01 00:00', 'without a subscription it is the calendar month');
select pg_temp.subscribe('2026-01-31 10:00+00', '2027-01-31 10:00+00');
select is(pg_temp.period('2026-05-05+00', false), '2026-01-31 10:00 to 2027-01-31 10:00', 'a year is one period to counted features');
select is(pg_temp.period('2026-02-28 09:59+00'), '2026-01-31 10:00 to 2026-02-28 10:00', 'and months to messages, counted from its start');
select is(pg_temp.period('2026-02-28 10:00+00'), '2026-02-28 10:00 to 2026-03-31 10:00', 'after a month that is too short');
select is(pg_temp.period('2026-03-31 09:59+00'), '2026-02-28 10:00 to 2026-03-31 10:00', 'the day is that of the start again');
select is(pg_temp.period('2026-03-31 10:00+00'), '2026-03-31 10:00 to 2026-04-30 10:00', 'in every month');
select is(pg_temp.period('2027-01-31 09:59+00'), '2026-12-31 10:00 to 2027-01-31 10:00', 'to the last');
select is(pg_temp.period('2027-03-01+00'), '2027-02-28 10:00 to 2027-03-31 10:00', 'while a renewal is not told of, its months have begun');
set local timezone to 'America/New_York';
select is(pg_temp.period('2026-03-31 10:00+00'), '2026-03-31 10:00 to 2026-04-30 10:00', 'wherever the session is');
set local timezone to 'UTC';
select pg_temp.subscribe('2026-06-10 12:00+00', '2026-07-10 12:00+00');
select is(pg_temp.period('2026-06-09+00'), '2026-05-31 10:00 to 2026-06-10 12:00', 'another period ends the month in which it begins');
select is(pg_temp.period('2026-06-11+00'), '2026-06-10 12:00 to 2026-07-10 12:00', 'a month is a month');
select pg_temp.subscribe('2027-02-28+00', '2027-03-31+00');
select is(pg_temp.period('2027-03-30+00'), '2027-02-28 00:00 to 2027-03-31 00:00', 'also one that is longer than the day it began on says');
select pg_temp.subscribe('2028-02-10+00', '2028-03-11+00');
select is(pg_temp.period('2028-03-10+00'), '2028-02-10 00:00 to 2028-03-11 00:00', 'or has thirty days');
select pg_temp.subscribe('2028-04-30+00', '2028-07-31+00');
select is(pg_temp.period('2028-07-30 12:00+00'), '2028-06-30 00:00 to 2028-07-31 00:00', 'days that are left at the end of a quarter are no month');

-- Counting.
delete from private.plan_periods;
insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason)
select tests.id('owner'), f, n, 'a test' from (values ('messages_per_month', 2), ('requests_per_minute', 20)) v (f, n);
select is(array[pg_temp.call('2026-01-30+00'), pg_temp.call('2026-01-30 00:01+00'), pg_temp.call('2026-01-30 00:02+00')],
  '{admitted,admitted,limit_reached 172680}', 'before a subscription the calendar month limits messages');
select pg_temp.subscribe('2026-01-30 10:00+00', '2027-01-30 10:00+00');
select is(pg_temp.call('2026-01-30 09:59:59+00'), 'limit_reached 136801', 'what is late counts to the month before');
select is(array[pg_temp.call('2026-01-30 10:00+00'), pg_temp.call('2026-02-28 09:59:58+00'), pg_temp.call('2026-02-28 09:59:59+00')],
  '{admitted,admitted,limit_reached 1}', 'a subscription has months of its own');
select is(array[pg_temp.call('2026-02-28 10:00+00'), pg_temp.call('2026-03-30 09:00+00'), pg_temp.call('2026-03-30 09:00+00')],
  '{admitted,admitted,limit_reached 3600}', 'of which each has its messages, though the year is paid at once');
select public.finish_ai_call((select c.hold_id from private.ai_calls c where c.message_period = '2026-01-30 10:00+00' limit 1), 'failed', at => '2026-03-30 09:01+00');
select is(pg_temp.call('2026-03-30 09:02+00'), 'limit_reached 3480', 'what comes to nothing after its month');
select is(pg_temp.call('2026-02-01+00'), 'admitted', 'is given back to its month');
select is(array[pg_temp.call('2026-04-30 10:00+00'), pg_temp.call('2026-05-30 10:00+00')], '{admitted,admitted}', 'a month begins by itself');
delete from private.plan_periods;
select is(pg_temp.call('2026-01-31+00'), 'limit_reached 86400', 'after a subscription the calendar month knows what it had');
select is((select array_agg(c.messages order by c.period_start) from private.ai_request_counts c), '{2,2,2,1,1}', 'every month is kept');

-- The minute and the day go on.
delete from private.ai_request_counts;
update public.workspace_features set feature_limit = 3 where feature_code = 'requests_per_minute';
update public.workspace_features set feature_limit = null where feature_code = 'messages_per_month';
select pg_temp.subscribe('2026-08-10 12:00:30+00', '2026-09-10 12:00:30+00');
select is(array[pg_temp.call('2026-08-10 12:00:10+00'), pg_temp.call('2026-08-10 12:00:20+00'), pg_temp.call('2026-08-10 12:00:30+00'),
  pg_temp.call('2026-08-10 12:00:40+00')], '{admitted,admitted,admitted,rate_limited 20}', 'a new period begins no new minute');
insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values (tests.id('owner'), 'requests_per_day', 5, 'a test');
select is(array[pg_temp.call('2026-08-10 12:01+00'), pg_temp.call('2026-08-10 12:02+00'), pg_temp.call('2026-08-10 12:03+00')],
  '{admitted,admitted,rate_limited 43020}', 'nor a day');
delete from private.plan_periods;
select is(pg_temp.call('2026-08-10 12:10+00'), 'admitted', 'after it the day of the period before goes on');

-- A plan on sale.
select tests.sell('prod_basic_x', 10, 'basic');
select tests.deliver('e1', tests.paid_period('prod_basic_x', '2026-10-31 12:00+00', 'owner', length => '365 days'), '2026-10-31 12:00+00', '2026-10-31 12:00+00');
select is(pg_temp.period('2026-12-01+00'), '2026-11-30 12:00 to 2026-12-31 12:00', 'the months are those of what was bought');
select is((select p.period_start from private.feature_period(tests.id('other'), '2026-12-01+00', true) p), '2026-12-01+00'::timestamptz, 'and nobody else''s');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
