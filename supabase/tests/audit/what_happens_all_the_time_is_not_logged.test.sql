begin;
select plan(5);
select tests.create_user('owner');
select tests.create_team('team');
insert into public.workspace_members (workspace_id, user_id, role) values (tests.id('team'), tests.id('owner'), 'owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('m', 'M', 'up', 1, 1);
insert into public.ai_model_prices (model, effective_from) values ('m', '2020-01-01');
insert into public.api_keys (workspace_id, user_id, name, prefix, budget) values (tests.id('team'), tests.id('owner'), 'k', 'sk-', 100);
insert into private.api_key_hashes (key_hash, api_key_id) select sha256('secret'), id from public.api_keys;
select public.credit_user_credits_transaction(tests.id('owner'), 50, 'manual', workspace_id => tests.id('team'), expires_at => now() + '1 s');
create function pg_temp.written() returns bigint language sql as 'select count(*) from public.audit_logs';
select tests.remember('before', pg_temp.written());

select public.credit_user_credits_transaction(tests.id('owner'), 50, 'manual', workspace_id => tests.id('team'));
select public.debit_user_credits_transaction(tests.id('owner'), 5, 'use', workspace_id => tests.id('team'));
select public.debit_user_credits_transaction(tests.id('owner'), 1, 'use');
select public.release_credit_hold((public.hold_credits(tests.id('owner'), 1, 'use')).hold_id);
select is(pg_temp.written()::text, tests.recall('before'), 'no movement of credits is');
select public.finish_ai_call((public.admit_ai_call(null, 'm', 1, api_key_hash => encode(sha256('secret'), 'hex')) ->> 'hold_id')::uuid, 'success', 1, 0, 1);
select isnt((select credits_used::numeric from public.api_keys), 0::numeric, 'a call with a key counts');
select is(pg_temp.written()::text, tests.recall('before'), 'and is not logged');
select public.expire_credits(at => now() + '1 day');
update public.users set full_name = 'A name' where id = tests.id('owner');
select is(pg_temp.written()::text, tests.recall('before'), 'nor is an expiry, or a profile');
select is_empty($$
  select t.tgrelid::regclass, t.tgname from pg_catalog.pg_trigger t
  where t.tgfoid = 'private.audit_change'::regproc and t.tgtype & 16 = 16 and t.tgattr = ''
    and t.tgrelid in ('public.credit_wallets'::regclass, 'public.api_keys'::regclass, 'public.workspace_members'::regclass, 'public.users'::regclass)
$$, 'for their updates do not fire it');

select * from finish();
rollback;
