begin;
select plan(21);
select tests.create_user('owner');
select tests.limit_plans('message', 10, 'free');
select tests.be_service();
create function pg_temp.back(quantity numeric default null, at timestamptz default '2026-05-06') returns text
language sql as $$
  select concat_ws(' ', a ->> 'released', a ->> 'used', a ->> 'remaining')
  from to_jsonb(public.release_feature(tests.recall('use')::bigint, quantity, at => at)) a
$$;
select tests.remember('use', to_jsonb(public.consume_feature('message', 8, tests.id('owner'), at => '2026-05-05')) -> 'id');
select is(pg_temp.back(3), '3 5 5', 'a part is given back');
select is(pg_temp.back(7), '5 0 10', 'no more than what is left of it');
select is(pg_temp.back(), '0 0 10', 'of which then nothing is left');
select is(pg_temp.back(1), '0 0 10', 'for any quantity');
select results_eq($$ select quantity, released_id is not null from public.usage_records order by id $$,
  $$ values (8::numeric, false), (-3, true), (-5, true) $$, 'each is a record of its own');

select to_jsonb(public.consume_feature('message', 4, tests.id('owner'), idempotency_key => 'k', at => '2026-05-05'));
select to_jsonb(public.consume_feature('message', 5, tests.id('owner'), at => '2026-06-01'));
select is(to_jsonb(public.release_feature(idempotency_key => 'k', workspace_id => tests.id('owner'), at => '2026-06-01')) ->> 'released', '4',
  'a use is named by its key too');
select is((select used from public.feature_usage where period_start = '2026-05-01'), 0::numeric, 'it is given back to its own period');
select is((select used from public.feature_usage where period_start = '2026-06-01'), 5::numeric, 'and to no other');
select results_eq('select created_at, period_start from public.usage_records order by id desc limit 1',
  $$ values ('2026-06-01 00:00+00'::timestamptz, '2026-05-01 00:00+00'::timestamptz) $$, 'by a record of that period, at the time that was told');
select is(to_jsonb(public.consume_feature('message', 4, tests.id('owner'), idempotency_key => 'k', at => '2026-06-01')) ->> 'period_start',
  '2026-05-01T00:00:00+00:00', 'its key goes on giving the first answer');

select throws_ok($$ select public.release_feature(idempotency_key => 'k') $$, 'PT404', 'not_found', 'a key is its workspace''s');
select throws_ok($$ select public.release_feature() $$, 'PT404', 'not_found', 'a release names a use');
create function pg_temp.told() returns text language plpgsql as $$
declare
  told text;
begin
  perform public.release_feature(0);
exception when others then
  get stacked diagnostics told = pg_exception_detail;
  return told;
end;
$$;
select is(pg_temp.told(), 'There is no such usage record.', 'and is told that there is none');
select throws_ok($$ select public.release_feature(max(id)) from public.usage_records where released_id is not null $$, 'PT404', 'not_found',
  'what was given back is no use');
select throws_ok($$ select public.release_feature(tests.recall('use')::bigint, idempotency_key => 'k', workspace_id => tests.id('owner')) $$,
  'PT400', 'invalid_request', 'and names it in one way');
select is(to_jsonb(public.release_feature(idempotency_key => 'k', workspace_id => tests.id('owner'), at => '2026-06-01'))
    - array['released', 'period_start', 'period_end', 'remaining'], '{"used": 5, "limit": 10}', 'the answer is of the period now');
select throws_ok($$ select public.release_feature(1, -1) $$, 'PT400', 'invalid_request', 'a quantity is above zero');
select throws_ok($$ update public.usage_records set quantity = 1 $$, '42501', null, 'the service role writes no records');
select tests.be_postgres();
select throws_ok($$ update private.usage_records set quantity = 1 $$, 'PT403', 'forbidden', 'the owner of the schema changes none');
select throws_ok($$ delete from private.usage_records $$, 'PT403', 'forbidden', 'and deletes none');
delete from auth.users where id = tests.id('owner');
select is_empty($$ select from public.usage_records $$, 'with their workspace they go');
select * from finish();
rollback;
