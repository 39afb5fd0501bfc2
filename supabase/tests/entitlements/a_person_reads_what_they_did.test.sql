-- Columns of users that are computed: messages of the month, when it ends, all messages, the last activity.
begin;
select plan(14);
select tests.create_user('owner'), tests.create_user('other');
create function pg_temp.column_of(name text, person text default 'owner') returns text
language plpgsql as $$
declare
  value text;
begin
  execute format('select public.%I(u)::text from public.users u where u.id = $1', name) into value using tests.id(person);
  return value;
end;
$$;
create function pg_temp.counts(person text default 'owner') returns text
language sql as $$ select concat_ws(' ', pg_temp.column_of('monthly_message_count', person), pg_temp.column_of('total_message_count', person)) $$;
grant execute on function pg_temp.column_of, pg_temp.counts to public;

select is(pg_temp.counts(), '0 0', 'a new account sent nothing');
select is(pg_temp.column_of('last_active_at'), null, 'and was not there');
select is(pg_temp.column_of('monthly_reset_date')::timestamptz,
  private.later(date_trunc('month', now(), 'UTC'), '1 month'), 'its month ends with the calendar''s');
select public.update_user_usage(tests.id('owner'), 3, 10, 0), public.update_user_usage(tests.id('owner'), 4, 10, 0, now() - interval '40 days');
select is(pg_temp.counts(), '3 7', 'what was sent counts to its month and to all');
select is(pg_temp.column_of('last_active_at')::timestamptz between now() and clock_timestamp(), true, 'a call is an activity, the newest one');
insert into private.plan_periods values (tests.id('owner'), now() - interval '2 days', now() + interval '363 days');
select is(pg_temp.counts(), '0 7', 'a new period has seen nothing, before anything is written in it');
select is(pg_temp.column_of('monthly_reset_date')::timestamptz, private.later(now() - interval '2 days', '1 month'), 'and ends a month later');
update auth.users set last_sign_in_at = now() + interval '1 hour' where id = tests.id('owner');
select is(pg_temp.column_of('last_active_at')::timestamptz, now() + interval '1 hour', 'so is signing in');

select tests.sign_in('owner');
select is(pg_temp.counts(), '0 7', 'people read their own');
select tests.sign_in('other');
select is(pg_temp.counts(), '', 'and nobody else''s');
select is((select concat(public.monthly_message_count(u), public.monthly_reset_date(u), public.total_message_count(u), public.last_active_at(u))
  from jsonb_populate_record(null::public.users, jsonb_build_object('id', tests.id('owner'))) u), '', 'not by a row that they made up either');
select tests.be_anonymous();
select throws_ok($$ select public.monthly_message_count(jsonb_populate_record(null::public.users, '{}')) $$, '42501', null, 'without an account there is none');
select tests.be_service();
select is(pg_temp.counts(), '0 7', 'the service role reads everyone''s');
select throws_ok($$ update public.users set monthly_message_count = 0 $$, '42703', null, 'there is nothing to write');
select * from finish();
rollback;
