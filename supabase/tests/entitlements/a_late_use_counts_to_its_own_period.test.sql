begin;
select plan(8);
select tests.create_user('owner');
select tests.sell('prod_basic_x', 10, 'basic');
insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values (tests.id('owner'), 'message', 5, 'a test');
create function pg_temp.use(quantity numeric, at timestamptz) returns text language sql as $$
  select concat_ws(' ', a ->> 'allowed', a ->> 'used', to_char((a ->> 'period_start')::timestamptz at time zone 'UTC', 'MM-DD'),
    to_char((a ->> 'period_end')::timestamptz at time zone 'UTC', 'MM-DD'))
  from to_jsonb(public.consume_feature('message', quantity, tests.id('owner'), at => at)) a
$$;
select is(pg_temp.use(1, '2026-05-09+00'), 'true 1 05-01 06-01', 'before a subscription the month is what counts');
select tests.deliver('e1', tests.paid_period('prod_basic_x', '2026-05-10 12:00+00', 'owner'), '2026-05-10 12:00+00', '2026-05-10 12:00+00');
select is(pg_temp.use(4, '2026-06-09 11:59:59+00'), 'true 4 05-10 06-09', 'then its period');
select tests.deliver('e2', tests.paid_period('prod_basic_x', '2026-06-09 12:00+00'), '2026-06-09 12:00+00', '2026-06-09 12:00+00');
select is(pg_temp.use(3, '2026-06-09 12:00+00'), 'true 3 06-09 07-09', 'a renewal begins the next');
select is(pg_temp.use(2, '2026-06-09 11:59:59.9+00'), 'false 4 05-10 06-09', 'what comes late counts to the period before, and its limit');
select is(pg_temp.use(1, '2026-06-09 11:59:59.9+00'), 'true 5 05-10 06-09', 'up to it');
select is(pg_temp.use(1, '2026-05-20+00'), 'false 5 05-10 06-09', 'and so does what is back-dated');
select is(pg_temp.use(3, '2026-06-10+00'), 'false 3 06-09 07-09', 'nothing of it changes the period that runs');
select is(pg_temp.use(2, '2026-05-05+00'), 'true 3 05-01 06-01', 'before the first period it is the month of then');
select * from finish();
rollback;
