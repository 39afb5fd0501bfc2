begin;
select plan(34);
select tests.create_user('owner'), tests.create_user('stranger');
insert into public.features (feature_code, name, unit) values ('export', 'Exports', 'file');
select tests.be_service();
create function pg_temp.use(quantity numeric, code text default 'export', person text default 'owner') returns text
language sql as $$
  select concat_ws(' ', a ->> 'allowed', a ->> 'code', a ->> 'used', a ->> 'limit', a ->> 'remaining')
  from to_jsonb(public.consume_feature(code, quantity, tests.id(person), at => '2026-05-05')) a
$$;
create function pg_temp.look(quantity numeric, code text default 'export') returns text
language sql as $$
  select concat_ws(' ', a ->> 'allowed', a ->> 'code', a ->> 'used', a ->> 'limit', a ->> 'remaining')
  from to_jsonb(public.check_feature(code, quantity, tests.id('owner'), at => '2026-05-05')) a
$$;

select is(pg_temp.use(2.5), 'true 2.5', 'without a row it is allowed without limit, in any fraction');
insert into public.plan_features (plan, feature_code, feature_limit) values ('free', 'export', 4);
select is(pg_temp.look(1.5), 'true 2.5 4 1.5', 'a plan may limit it');
select is(pg_temp.look(1.6), 'false limit_reached 2.5 4 1.5', 'check_feature says what would be refused');
select is(pg_temp.use(1.6), 'false limit_reached 2.5 4 1.5', 'what would pass the limit is refused as data');
select is(pg_temp.use(1.5), 'true 4 4 0', 'up to the limit it is allowed');
select is(pg_temp.use(0.000000000000000001), 'false limit_reached 4 4 0', 'and not a bit more');
select is(pg_temp.use(5, person => 'stranger'), 'false limit_reached 0 4 4', 'a first use is limited too');
select is((select sum(quantity) from public.usage_records), 4.0, 'refusals leave no record');
select is(pg_temp.look(1), 'false limit_reached 4 4 0', 'and looking counts nothing');

select tests.be_postgres(), tests.put_on_plan('owner', 'pro'), tests.be_service();
select is(pg_temp.use(1), 'true 5', 'another plan has its own terms, and no row there is no limit');
insert into public.plan_features (plan, feature_code, is_enabled, feature_limit) values ('pro', 'export', false, 100);
select is(pg_temp.use(1), 'false feature_not_in_plan 5 0 0', 'off is refused, whatever the limit says');
insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason)
values (tests.id('owner'), 'export', 6, 'a promise');
select is(pg_temp.use(1), 'true 6 6 0', 'a workspace may have what its plan does not');
select is(pg_temp.use(1), 'false limit_reached 6 6 0', 'up to its own limit');
update public.workspace_features set feature_limit = null;
select is(pg_temp.use(1), 'true 7', 'or without one, in place of the plan''s whole row');
update public.workspace_features set expires_at = '2026-05-05 00:00:01';
select is(pg_temp.use(1), 'true 8', 'until it expires');
update public.workspace_features set expires_at = '2026-05-05';
select is(pg_temp.use(1), 'false feature_not_in_plan 8 0 0', 'then the plan holds again');
update public.workspace_features set expires_at = null, is_enabled = false;
update public.plan_features set is_enabled = true where plan = 'pro';
select is(pg_temp.use(1), 'false feature_not_in_plan 8 0 0', 'it may lack what its plan has');
update public.workspace_features set is_enabled = true;
update public.features set is_active = false where feature_code = 'export';
select is(pg_temp.use(1), 'false feature_not_in_plan 8 0 0', 'an inactive feature is off for everyone');
select is(pg_temp.look(1), 'false feature_not_in_plan 8 0 0', 'which check_feature says as well');

select throws_ok($$ select pg_temp.use(1, 'no_such') $$, 'PT404', 'not_found', 'an unknown feature is none');
select throws_ok($$ select pg_temp.use(0) $$, 'PT400', 'invalid_request', 'nothing is no quantity');
select throws_ok($$ select pg_temp.use(-1) $$, 'PT400', 'invalid_request', 'nor is less');
select throws_ok($$ select pg_temp.use('NaN') $$, 'PT400', 'invalid_request', 'nor NaN');
select throws_ok($$ select pg_temp.look('infinity') $$, 'PT400', 'invalid_request', 'nor infinity');
select throws_ok($$ select public.consume_feature('token', 1, tests.id('owner'), cost => 'NaN') $$, 'PT400', 'invalid_request', 'a cost is a number');
select throws_ok($$ select public.consume_feature('token', 1, tests.id('owner'), cost => -0.01) $$, 'PT400', 'invalid_request', 'not below zero');
select throws_ok($$ select public.consume_feature('token', 1, tests.id('owner'), model => repeat('m', 500), reference_id => repeat('r', 501)) $$,
  'PT400', 'invalid_request', 'model and reference are short');
select throws_ok($$ select public.consume_feature('token', 1, tests.id('owner'), metadata => '[]') $$, 'PT400', 'invalid_request', 'metadata is an object');
select throws_ok($$ select public.consume_feature('token', 1, tests.id('stranger'), tests.id('owner')) $$, 'PT404', 'not_found',
  'who is no member uses nothing');
select throws_ok($$ select public.consume_feature('token', 1, tests.id('nobody')) $$, 'PT404', 'not_found', 'nor does nobody');

select to_jsonb(public.consume_feature('token', 12, tests.id('owner'), model => 'm', cost => 0.02, reference_type => 'chat', reference_id => '7',
  metadata => '{"a": 1}', at => '2026-05-05 10:00+00'));
select results_eq($$
  select user_id, quantity, period_start, created_at, model, cost, reference_type, reference_id, metadata
  from public.usage_records where feature_code = 'token'
$$, $$ values (tests.id('owner'), 12::numeric, '2026-05-01 00:00+00'::timestamptz, '2026-05-05 10:00+00'::timestamptz, 'm', 0.02, 'chat', '7',
  '{"a": 1}'::jsonb) $$, 'a record keeps what was told');
select is_empty($$
  (select workspace_id, feature_code, period_start, sum(quantity) from public.usage_records group by 1, 2, 3
   except select workspace_id, feature_code, period_start, used from public.feature_usage)
  union all (select workspace_id, feature_code, period_start, used from public.feature_usage
   except select workspace_id, feature_code, period_start, sum(quantity) from public.usage_records group by 1, 2, 3)
$$, 'the sums are those of the records');

select tests.be_postgres();
alter table public.workspaces add constraint broken check (name <> 'Personal') not valid;
select tests.create_user('ben'), tests.create_user('cem');
alter table public.workspaces drop constraint broken;
select tests.be_service();
select is(to_jsonb(public.consume_feature('token', 1, tests.id('ben'))) ->> 'allowed', 'true', 'whose sign-up could not finish uses all the same');
select is(to_jsonb(public.check_feature('token', 1, tests.id('cem'))) ->> 'allowed', 'true', 'and looks');

select * from finish();
rollback;
