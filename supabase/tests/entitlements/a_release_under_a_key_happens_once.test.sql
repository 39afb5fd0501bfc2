begin;
select plan(21);
select tests.create_user('owner'), tests.create_user('other'), tests.create_user('mate'), tests.create_team('team'),
  tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'mate');
select tests.limit_plans('message', 10, 'free');
select tests.be_service();
select tests.remember('use', to_jsonb(public.consume_feature('message', 8, tests.id('owner'), model => 'm', cost => 0.5, reference_type => 'chat',
  reference_id => '7', metadata => '{"a": 1}', idempotency_key => 'use', at => '2026-05-05')) -> 'id');
select tests.remember('second_use', to_jsonb(public.consume_feature('message', 2, tests.id('owner'), model => 'm', at => '2026-05-05')) -> 'id');
create function pg_temp.back(quantity numeric, key text default 'back', use text default 'use', at timestamptz default '2026-05-06') returns jsonb
language sql as $$ select to_jsonb(public.release_feature(tests.recall(use)::bigint, quantity, at => at, release_idempotency_key => key)) $$;
create function pg_temp.used(name text default 'owner') returns numeric
language sql as $$ select used from public.feature_usage where workspace_id = tests.id(name) $$;

select tests.remember('first', pg_temp.back(3));
select is(tests.recall('first')::jsonb - array['period_start', 'period_end'], '{"released": 3, "used": 7, "limit": 10, "remaining": 3}', 'a part is given back');
select to_jsonb(public.consume_feature('message', 1, tests.id('owner'), at => '2026-05-06'));
select is(pg_temp.back(3.0, at => '2026-06-07'), tests.recall('first')::jsonb, 'a retry gets the first answer, whatever was used since');
select is(pg_temp.used(), 8::numeric, 'and gives nothing back');
select is(to_jsonb(public.release_feature(idempotency_key => 'use', workspace_id => tests.id('owner'), quantity => 3, release_idempotency_key => 'back')),
  tests.recall('first')::jsonb, 'also where it names the use by its key');
select throws_ok($$ select pg_temp.back(2) $$, 'PT409', 'idempotency_conflict', 'another quantity is a conflict');
select throws_ok($$ select pg_temp.back(null) $$, 'PT409', 'idempotency_conflict', 'so is all of it');
select throws_ok($$ select pg_temp.back(3, use => 'second_use') $$, 'PT409', 'idempotency_conflict', 'and another use');
select throws_ok($$ select public.consume_feature('message', 3, tests.id('owner'), idempotency_key => 'back') $$, 'PT409', 'idempotency_conflict',
  'and a use');
select throws_ok($$ select pg_temp.back(8, key => 'use') $$, 'PT409', 'idempotency_conflict', 'the key of a use is no release''s');
select is(pg_temp.used(), 8::numeric, 'none of which gives anything back');
select is(pg_temp.back(3, key => 'again') ->> 'released', '3', 'another key is another release');
select tests.remember('rest', pg_temp.back(9, key => 'rest'));
select is(tests.recall('rest')::jsonb ->> 'released', '2', 'which gives back no more than is left');
select is(pg_temp.back(9, key => 'rest'), tests.recall('rest')::jsonb, 'and is the same request though less came of it');
select is(pg_temp.back(1, key => 'late') ->> 'released', '0', 'where nothing is left');
select is_empty($$ select from public.usage_records where idempotency_key = 'late' $$, 'nothing is kept');
select throws_ok($$ select pg_temp.back(1, key => '') $$, 'PT400', 'invalid_request', 'a key is not empty');
select tests.remember('all', pg_temp.back(null, 'all', 'second_use'));
select is(pg_temp.back(null, 'all', 'second_use'), tests.recall('all')::jsonb, 'all that is left is a request as well');
select results_eq($$ select quantity, requested, model, cost, reference_id, metadata from public.usage_records where released_id is not null order by id $$,
  $$ values (-3::numeric, 3::numeric, 'm', null::numeric, '7', '{}'::jsonb), (-3, 3, 'm', null, '7', '{}'), (-2, 9, 'm', null, '7', '{}'),
    (-2, null, 'm', null, null, '{}') $$, 'records tell what was asked for and what came of it, and the cost once');

select tests.remember('one', to_jsonb(public.consume_feature('message', 1, tests.id('owner'), at => '2026-05-05')) -> 'id');
select tests.remember('alike', to_jsonb(public.consume_feature('message', 1, tests.id('owner'), at => '2026-05-05')) -> 'id');
select pg_temp.back(1, 'alike', 'one');
select throws_ok($$ select pg_temp.back(1, 'alike', 'alike') $$, 'PT409', 'idempotency_conflict', 'a use that is just alike is another');

select tests.remember('use', to_jsonb(public.consume_feature('message', 4, tests.id('mate'), tests.id('team'))) -> 'id');
select tests.remember('first', pg_temp.back(1, at => now()));
select tests.be_postgres();
delete from auth.users where id = tests.id('mate');
select is(pg_temp.back(1, at => now()), tests.recall('first')::jsonb, 'a retry is the same request after its person is gone');
select is(pg_temp.used('team'), 3::numeric, 'and workspaces have keys of their own');
select * from finish();
rollback;
