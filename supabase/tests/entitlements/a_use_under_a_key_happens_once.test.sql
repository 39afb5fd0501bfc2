begin;
select plan(14);
select tests.create_user('owner'), tests.create_user('other');
select tests.limit_plans('message', 3, 'free');
select tests.be_service();
create function pg_temp.use(quantity numeric, reference text default 'r', person text default 'owner', code text default 'message') returns jsonb
language sql as $$
  select to_jsonb(public.consume_feature(code, quantity, tests.id(person), reference_id => reference, idempotency_key => 'k', at => '2026-05-05'))
$$;
select is(pg_temp.use(4) ->> 'allowed', 'false', 'a refusal is not kept');
select tests.remember('first', pg_temp.use(2));
select is(tests.recall('first')::jsonb - array['id', 'code', 'period_start', 'period_end'],
  '{"allowed": true, "used": 2, "limit": 3, "remaining": 1}', 'and its key may try again');
select to_jsonb(public.consume_feature('message', 1, tests.id('owner'), at => '2026-05-05'));
select is(pg_temp.use(2.0), tests.recall('first')::jsonb, 'later it gets the first answer again, though the limit is reached since');
select is((select used from public.feature_usage), 3::numeric, 'and counts nothing');
select throws_ok($$ select pg_temp.use(1) $$, 'PT409', 'idempotency_conflict', 'another quantity is a conflict');
select throws_ok($$ select pg_temp.use(2, 's') $$, 'PT409', 'idempotency_conflict', 'so is another reference');
select throws_ok($$ select pg_temp.use(2, code => 'token') $$, 'PT409', 'idempotency_conflict', 'and another feature');
select is(pg_temp.use(1, person => 'other') ->> 'allowed', 'true', 'another workspace has keys of its own');
select throws_ok($$ select public.consume_feature('message', 1, tests.id('owner'), idempotency_key => '') $$, 'PT400', 'invalid_request',
  'a key is not empty');

-- Whatever was told belongs to the request.
create function pg_temp.told(model text default 'm', cost numeric default 0.5, type text default 't', metadata jsonb default '{"a": 1}', person text default 'owner')
returns jsonb language sql as $$
  select to_jsonb(public.consume_feature('message', 1, tests.id(person), tests.id('team'), model, cost, type, 'r', metadata, 'told'))
$$;
select tests.be_postgres(), tests.create_team('team'), tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'other'), tests.be_service();
select pg_temp.told();
select throws_ok($$ select pg_temp.told(model => 'n') $$, 'PT409', 'idempotency_conflict', 'another model is a conflict');
select throws_ok($$ select pg_temp.told(cost => null) $$, 'PT409', 'idempotency_conflict', 'another cost');
select throws_ok($$ select pg_temp.told(type => 'u') $$, 'PT409', 'idempotency_conflict', 'another type of reference');
select throws_ok($$ select pg_temp.told(metadata => '{}') $$, 'PT409', 'idempotency_conflict', 'other metadata');
select throws_ok($$ select pg_temp.told(person => 'other') $$, 'PT409', 'idempotency_conflict', 'and another person of the team');
select * from finish();
rollback;
