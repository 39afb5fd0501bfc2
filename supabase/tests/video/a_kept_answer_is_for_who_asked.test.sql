begin;
select plan(12);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_team('team');
select tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'ben');
select public.credit_user_credits_transaction(tests.id('ann'), 100, 'purchase', workspace_id => tests.id('team'));
update public.workspaces set ai_log_content = 'full' where id = tests.id('team');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('test', 'Test', 'up', 100, 1);
select private.set_model_price('test', '{"input": 0, "output": 0}', '2020-01-01');
select tests.offer_video('veo');
create function pg_temp.new_key() returns text language plpgsql as $$
declare
  secret text;
begin
  perform tests.sign_in('ann');
  secret := to_jsonb(public.create_api_key('key', tests.id('team'))) ->> 'key';
  perform tests.be_postgres();
  return secret;
end $$;
select tests.remember('key', pg_temp.new_key()), tests.remember('other', pg_temp.new_key());
create function pg_temp.call(person text, secret text default null, hash text default 'h') returns jsonb language sql as $$
  select public.admit_ai_call(tests.id(person), 'test', 1, request_id => 'req_of_ann', idempotency_key => 'k', request_hash => hash,
    workspace_id => tests.id('team'), api_key_hash => encode(sha256(secret::bytea), 'hex'))
$$;
select tests.remember('conflict', '{"admitted": false, "status": 409, "code": "idempotency_conflict", "param": "idempotency-key",
  "message": "Somebody else has used this Idempotency-Key in this workspace.", "retry_after": null}'::text);

select tests.remember('hold', pg_temp.call('ann') ->> 'hold_id');
select is(pg_temp.call('ben'), tests.recall('conflict')::jsonb, 'another member has a conflict of their own while it runs');
select public.finish_ai_call(tests.recall('hold')::uuid, 'success', answer => '{"body": "for Ann"}');
select is(pg_temp.call('ann') #>> '{answer,body}', 'for Ann', 'who asked gets the answer again');
select is(pg_temp.call('ben'), tests.recall('conflict')::jsonb, 'another member never does, with the same request');
select is(pg_temp.call('ben', hash => 'x'), tests.recall('conflict')::jsonb, 'or with another');
select is(pg_temp.call(null, tests.recall('key')), tests.recall('conflict')::jsonb, 'nor does who has a key that the same person made');
delete from private.idempotent_requests where scope = 'ai_calls';
select tests.remember('hold', pg_temp.call(null, tests.recall('key')) ->> 'hold_id');
select public.finish_ai_call(tests.recall('hold')::uuid, 'success', answer => '{"body": "for the key"}');
select is(pg_temp.call(null, tests.recall('key')) #>> '{answer,body}', 'for the key', 'what a key asked for it gets again');
select is(pg_temp.call(null, tests.recall('other')), tests.recall('conflict')::jsonb, 'another key does not');
select is(pg_temp.call('ann'), tests.recall('conflict')::jsonb, 'nor its maker without it');

-- Videos alike.
select tests.remember('job', tests.ask_video('ann', workspace => 'team', key => 'v', hash => 'h', api_key => tests.recall('key')) #>> '{job,id}');
select is(tests.ask_video('ann', workspace => 'team', key => 'v', hash => 'h', api_key => tests.recall('key')) #>> '{job,id}', tests.recall('job'),
  'a key gets its job again');
select is(tests.ask_video('ann', workspace => 'team', key => 'v', hash => 'h', api_key => tests.recall('other')) - 'created',
  tests.recall('conflict')::jsonb - 'admitted', 'another key does not');
select is(tests.ask_video('ann', workspace => 'team', key => 'v', hash => 'h') - 'created', tests.recall('conflict')::jsonb - 'admitted',
  'nor its maker without it');
select is(tests.ask_video('ben', workspace => 'team', key => 'v', hash => 'h') - 'created', tests.recall('conflict')::jsonb - 'admitted',
  'nor another member');

select * from finish();
rollback;
