begin;
select plan(35);
select tests.create_user('owner'), tests.create_user('stranger');

select tests.sign_in('owner');
select throws_ok($$ select public.create_api_key('k', allowed_models => array['a', null]) $$, 'PT400', 'invalid_request',
  'a model without a name would be any model');
select throws_ok($$ select public.create_api_key('k', allowed_scenes => array['text_chat', null]::public.ai_usage_scene[]) $$, 'PT400',
  'invalid_request', 'as would a scene');
select throws_ok($$ select public.create_api_key('k', allowed_models => array[repeat('a', 20001)]) $$, 'PT400', 'invalid_request',
  'names are not endless');
select throws_ok($$ select public.create_api_key('k', allowed_scenes => array_fill('other'::public.ai_usage_scene, array[21])) $$, 'PT400',
  'invalid_request', 'nor are lists');
select tests.remember('made', to_jsonb(public.create_api_key('server', budget => 5, allowed_models => array['a'])));
select matches(tests.recall('made')::jsonb ->> 'key', '^sk-[A-Za-z0-9_-]{48}$', 'its secret is shown when it is made');
select is(tests.recall('made')::jsonb ->> 'prefix', left(tests.recall('made')::jsonb ->> 'key', 11), 'and its beginning stays');
select results_eq($$ select workspace_id, user_id, name::text, trim_scale(budget), allowed_models from public.api_keys $$,
  $$ values (tests.id('owner'), tests.id('owner'), 'server', 5::numeric, array['a']) $$, 'it belongs to the own workspace');
select tests.be_postgres();
select is((select count(*) from public.api_keys k where to_jsonb(k)::text like
  '%' || substr(tests.recall('made')::jsonb ->> 'key', 12) || '%'), 0::bigint, 'no column holds the secret');
select is((select k.id from private.api_key_of(encode(sha256((tests.recall('made')::jsonb ->> 'key')::bytea), 'hex'), now()) k),
  (tests.recall('made')::jsonb ->> 'id')::uuid, 'its hash finds it');

select tests.sign_in('stranger');
select is_empty('select * from public.api_keys', 'a stranger sees no key of another');
select throws_ok($$ select public.rotate_api_key((tests.recall('made')::jsonb ->> 'id')::uuid) $$, 'PT404', 'not_found', 'nor rotates it');
select throws_ok($$ select public.revoke_api_key((tests.recall('made')::jsonb ->> 'id')::uuid) $$, 'PT404', 'not_found', 'nor revokes it');
select throws_ok($$ select public.create_api_key('x', workspace_id => tests.id('owner')) $$, 'PT404', 'not_found',
  'nor makes one for another''s workspace');
update public.api_keys set budget = null;
select tests.be_postgres();
select is((select k.budget::numeric from public.api_keys k), 5::numeric, 'nor lifts its limits');
select tests.be_anonymous();
select throws_ok($$ select public.create_api_key('x') $$, '42501', null, 'who is not signed in makes none');

select tests.sign_in('owner');
select throws_ok($$ select public.create_api_key(' ') $$, 'PT400', 'invalid_request', 'a key has a name');
select throws_ok($$ select public.create_api_key(null) $$, 'PT400', 'invalid_request', 'also where none is given');
select throws_ok($$ select public.create_api_key('x', requests_per_minute => -1) $$, 'PT400', 'invalid_request', 'a rate is above 0');
select throws_ok($$ select public.create_api_key('x', allowed_models => '{{a,b},{c,d}}') $$, 'PT400', 'invalid_request', 'a list is flat');
select throws_ok($$ select public.create_api_key('x', period_budget => 1) $$, 'PT400', 'invalid_request', 'a period budget has a period');
select lives_ok($$ update public.api_keys set budget = 7, name = 'renamed' $$, 'the owner changes its limits');
select throws_ok(format('update public.api_keys set %s', change), 'PT400', 'invalid_request', 'but to nothing that a new key may not have: ' || change)
from unnest(array[$$name = ' '$$, 'requests_per_minute = 0', $$allowed_models = '{a,null}'$$, $$allowed_scenes = '{text_chat,null}'$$,
  $$budget_period = 'day'$$]) change;
select throws_ok($$ update public.spending_limits set credits_used = 0 $$, '42501', null, 'but not what it has used');
select tests.remember('rotated', to_jsonb(public.rotate_api_key((tests.recall('made')::jsonb ->> 'id')::uuid, '1 hour')));
select throws_ok($$ select public.rotate_api_key((tests.recall('made')::jsonb ->> 'id')::uuid, '-1 hour') $$, 'PT400',
  'invalid_request', 'a grace period is no less than nothing');
select throws_ok($$ select public.rotate_api_key((tests.recall('made')::jsonb ->> 'id')::uuid, '12000 mons -360000 days') $$, 'PT400',
  'invalid_request', 'and no more than 30 days, in whatever words');

select tests.be_postgres();
create function pg_temp.works(answer text, at timestamptz) returns boolean language plpgsql as $$
begin
  return (private.api_key_of(encode(sha256((answer::jsonb ->> 'key')::bytea), 'hex'), at)).id is not null;
exception when sqlstate 'PT401' then return false;
end;
$$;
select is(format('%s %s %s', pg_temp.works(tests.recall('rotated'), now()), pg_temp.works(tests.recall('made'), now()),
  pg_temp.works(tests.recall('made'), now() + interval '61 minutes')), 't t f', 'after a rotation the old secret works on for its grace');
select tests.sign_in('owner');
select public.revoke_api_key((tests.recall('made')::jsonb ->> 'id')::uuid), public.revoke_api_key((tests.recall('made')::jsonb ->> 'id')::uuid);
select tests.be_postgres();
select is(format('%s %s', pg_temp.works(tests.recall('rotated'), now()), pg_temp.works(tests.recall('made'), now())), 'f f',
  'after a revocation none');

select tests.be_postgres();
delete from public.api_keys;
insert into public.api_keys (workspace_id, user_id, name, prefix, created_at)
select tests.id('owner'), tests.id('owner'), n::text, 'sk-', now() - interval '2 days' from generate_series(1, 100) n;
select tests.sign_in('owner');
select throws_ok($$ select public.create_api_key('one more') $$, 'PT429', 'limit_reached', 'a workspace has at most a hundred keys');
select public.revoke_api_key((select id from public.api_keys where name = '1'));
select lives_ok($$ select public.create_api_key('one more') $$, 'of those that live');
select throws_ok($$ select public.create_api_key('another') $$, 'PT429', 'limit_reached', 'and then it is full again');
update public.api_keys set expires_at = now() - interval '1 s' where name = '2';
select lives_ok($$ select public.create_api_key('another') $$, 'one that has expired does not live');

select * from finish();
rollback;
