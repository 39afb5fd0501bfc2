begin;
select plan(6);
select tests.create_user('member');
select tests.create_team('team'), tests.join_team('team', 'member');
insert into public.api_keys (workspace_id, user_id, name, prefix) values (tests.id('team'), tests.id('member'), 'theirs', 'sk-');
insert into private.api_key_hashes (key_hash, api_key_id) select sha256('secret'), id from public.api_keys;
select lives_ok($$ select private.api_key_of(encode(sha256('secret'), 'hex'), now()) $$, 'a member''s key works for the team');
update public.users set is_active = false where id = tests.id('member');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('m', 'M', 'up', 1, 0);
select private.set_model_price('m', '{"input": 0, "output": 0}', '2020-01-01');
select is(public.admit_ai_call(null, 'm', 1, api_key_hash => encode(sha256('secret'), 'hex')) ->> 'code', 'account_disabled',
  'but not while the member is disabled');
update public.users set is_active = true where id = tests.id('member');
select tests.remember('call', public.admit_ai_call(null, 'm', 1, api_key_hash => encode(sha256('secret'), 'hex'),
  details => '{"ip_address": "10.0.0.1", "user_agent": "theirs"}') ->> 'hold_id');
select isnt(tests.recall('call'), null, 'nor is it refused to them again later');
delete from auth.users where id = tests.id('member');
select isnt((select revoked_at from public.api_keys), null, 'with the person it is revoked');
select throws_ok($$ select private.api_key_of(encode(sha256('secret'), 'hex'), now()) $$, 'PT401', 'invalid_api_key', 'and works no more');
select public.finish_ai_call(tests.recall('call')::uuid, 'success', details => '{"response_data": "words"}');
select results_eq($$ select workspace_id, user_id, ip_address, user_agent, response_data from public.ai_usage_logs where status = 'success' $$,
  $$ values (tests.id('team'), null::uuid, null::inet, null::text, null::jsonb) $$, 'what was under way ends without the person');

select * from finish();
rollback;
