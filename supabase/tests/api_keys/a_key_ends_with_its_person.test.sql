begin;
select plan(4);
select tests.create_user('member');
select tests.create_team('team');
insert into public.api_keys (workspace_id, user_id, name, prefix) values (tests.id('team'), tests.id('member'), 'theirs', 'sk-');
insert into private.api_key_hashes (key_hash, api_key_id) select sha256('secret'), id from public.api_keys;
select lives_ok($$ select private.api_key_of(encode(sha256('secret'), 'hex'), now()) $$, 'a member''s key works for the team');
update public.users set is_active = false where id = tests.id('member');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('m', 'M', 'up', 1, 0);
insert into public.ai_model_prices (model, effective_from) values ('m', '2020-01-01');
select is(public.admit_ai_call(null, 'm', 1, api_key_hash => encode(sha256('secret'), 'hex')) ->> 'code', 'account_disabled',
  'but not while the member is disabled');
delete from auth.users where id = tests.id('member');
select isnt((select revoked_at from public.api_keys), null, 'with the person it is revoked');
select throws_ok($$ select private.api_key_of(encode(sha256('secret'), 'hex'), now()) $$, 'PT401', 'invalid_api_key', 'and works no more');

select * from finish();
rollback;
