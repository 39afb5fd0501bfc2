begin;
select plan(20);
select tests.create_user('owner');
select tests.put_on_plan('owner', 'enterprise');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request, scene) values
  ('chat', 'Chat', 'up', 100, 1, 'text_chat'), ('embed', 'Embed', 'up', 0, 1, 'embedding');
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('embed', '{"input": 0, "output": 0}', '2020-01-01');
select public.credit_user_credits_transaction(tests.id('owner'), 97, 'manual');
create function pg_temp.new_key(limits jsonb) returns text language plpgsql as $$
declare
  made jsonb;
begin
  perform tests.sign_in('owner');
  made := to_jsonb(public.create_api_key('key'));
  perform tests.be_postgres();
  update public.api_keys k set (allowed_models, allowed_scenes, requests_per_minute, budget, period_budget, budget_period, expires_at) =
    (select l.allowed_models, l.allowed_scenes, l.requests_per_minute, l.budget, l.period_budget, l.budget_period, l.expires_at
     from jsonb_populate_record(k, limits) l)
  where k.id = (made ->> 'id')::uuid;
  return encode(sha256((made ->> 'key')::bytea), 'hex');
end;
$$;
create function pg_temp.call(hash text, model text default 'chat', at timestamptz default now(), details jsonb default '{}') returns jsonb
language sql as $$ select public.admit_ai_call(null, model, 1, 1, api_key_hash => hash, at => at, details => details) $$;

select tests.remember('key', pg_temp.new_key('{"budget": 2}'));
select is(pg_temp.call(tests.recall('key')) ->> 'admitted', 'true', 'a key calls for its workspace');
select results_eq($$ select l.workspace_id, l.user_id from public.credit_holds l $$,
  $$ values (tests.id('owner'), tests.id('owner')) $$, 'in its maker''s name');
select is(pg_temp.call(tests.recall('key')) ->> 'admitted', 'true', 'up to its budget, what is held counting');
select results_eq($$ select a ->> 'code', a ->> 'retry_after' from pg_temp.call(tests.recall('key')) a $$,
  $$ values ('limit_reached', null) $$, 'and not past it, however long it waits');
select public.finish_ai_call((select hold_id from private.ai_calls limit 1), 'failed');
select is(pg_temp.call(tests.recall('key')) ->> 'admitted', 'true', 'a call that came to nothing gives its part back');
select public.finish_ai_call(c.hold_id, 'success') from private.ai_calls c;
select is((select k.credits_used::numeric from public.api_keys k), 2::numeric, 'what was charged stays used');

select tests.remember('monthly', pg_temp.new_key('{"period_budget": 1, "budget_period": "month"}'));
select is(pg_temp.call(tests.recall('monthly'), at => '2026-05-31 23:59:30+00') ->> 'admitted', 'true', 'a period has its budget');
select results_eq($$ select a ->> 'code', a ->> 'retry_after' from pg_temp.call(tests.recall('monthly'), at => '2026-05-31 23:59:30+00') a $$,
  $$ values ('limit_reached', '30') $$, 'and says when the next begins');
select is(pg_temp.call(tests.recall('monthly'), at => '2026-06-01 00:00:00+00') ->> 'admitted', 'true', 'which has its own');
select public.finish_ai_call(c.hold_id, 'failed', at => '2026-06-01 00:01+00') from private.ai_calls c
  where c.started_at < '2026-06-01';
select is(pg_temp.call(tests.recall('monthly'), at => '2026-06-01 00:02:00+00') ->> 'code', 'limit_reached',
  'what a call of the last one gives back is not for this one');

select tests.remember('slow', pg_temp.new_key('{"requests_per_minute": 2}'));
select results_eq($$
  select coalesce(pg_temp.call(tests.recall('slow'), at => '2026-07-01 10:00:50+00') ->> 'code', 'admitted') from generate_series(1, 3)
$$, array['admitted', 'admitted', 'rate_limited'], 'a key has its own pace');
select is(pg_temp.call(tests.recall('slow'), at => '2026-07-01 10:00:50+00') ->> 'retry_after', '10', 'until the minute is over');
select is(pg_temp.call(tests.recall('slow'), at => '2026-07-01 10:01:00+00') ->> 'admitted', 'true', 'and then goes on');
select is((select k.last_used_at from public.api_keys k where k.requests_per_minute = 2), '2026-07-01 10:01:00+00'::timestamptz,
  'it tells when it was last used');

select tests.remember('narrow', pg_temp.new_key('{"allowed_models": ["embed"], "allowed_scenes": ["embedding"]}'));
select is(pg_temp.call(tests.recall('narrow')) ->> 'code', 'model_not_allowed', 'a key may be for some models only');
select is(pg_temp.call(tests.recall('narrow'), 'embed') ->> 'admitted', 'true', 'which it calls');
select is(pg_temp.call(tests.recall('narrow'), 'embed', details => '{"scene": "text_chat"}') ->> 'code', 'forbidden', 'and for some scenes');
select tests.remember('scene', pg_temp.new_key('{"allowed_scenes": ["embedding"]}'));
select is(pg_temp.call(tests.recall('scene'), 'chat', details => '{"scene": "embedding"}') ->> 'code', 'forbidden',
  'whatever a caller says a call is for');
select is(pg_temp.call(tests.recall('scene'), 'chat', details => '{"scene": "embedding"}') ->> 'message',
  'This API key is not for scene text_chat.', 'and the scene that it is not for is named');
select tests.remember('old', pg_temp.new_key('{"expires_at": "2026-01-01"}'));
select throws_ok($$ select pg_temp.call(tests.recall('old')) $$, 'PT401', 'invalid_api_key', 'an expired one calls nothing');

select * from finish();
rollback;
