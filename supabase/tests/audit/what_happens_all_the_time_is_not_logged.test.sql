begin;
select plan(8);
select tests.create_user('owner');
select tests.create_team('team');
insert into public.workspace_members (workspace_id, user_id, role) values (tests.id('team'), tests.id('owner'), 'owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('m', 'M', 'up', 1, 1);
select private.set_model_price('m', '{"input": 0, "output": 0}', '2020-01-01');
insert into public.api_keys (workspace_id, user_id, name, prefix, budget) values (tests.id('team'), tests.id('owner'), 'k', 'sk-', 100);
insert into private.api_key_hashes (key_hash, api_key_id) select sha256('secret'), id from public.api_keys;
select public.credit_user_credits_transaction(tests.id('owner'), 50, 'manual', workspace_id => tests.id('team'), expires_at => now() + '1 hour');
create function pg_temp.written() returns bigint language sql as 'select count(*) from public.audit_logs';
select tests.remember('before', pg_temp.written());

select public.credit_user_credits_transaction(tests.id('owner'), 50, 'manual', workspace_id => tests.id('team'));
select public.debit_user_credits_transaction(tests.id('owner'), 5, 'use', workspace_id => tests.id('team'));
select public.debit_user_credits_transaction(tests.id('owner'), 1, 'use');
select public.release_credit_hold((public.hold_credits(tests.id('owner'), 1, 'use')).hold_id);
select is(pg_temp.written()::text, tests.recall('before'), 'no movement of credits is');
select public.finish_ai_call((public.admit_ai_call(null, 'm', 1, api_key_hash => encode(sha256('secret'), 'hex')) ->> 'hold_id')::uuid, 'success', 1, 0, 1);
select isnt((select k.credits_used from public.api_keys k), 0::numeric, 'a call with a key counts');
select is(pg_temp.written()::text, tests.recall('before'), 'and is not logged');
select public.expire_credits(at => now() + '1 day');
update public.users set full_name = 'A name' where id = tests.id('owner');
select is(pg_temp.written()::text, tests.recall('before'), 'nor is an expiry, or a profile');

-- Alerts that fire and packs that are charged: the last charge turns the top-up off, which its workspace may read.
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'low_balance', 45);
insert into public.payment_products (id, platform, product_id, price_id, name, credits, amount, currency) values
  (tests.id('pack'), 'stripe', 'prod_pack', 'price_pack', 'Pack', 100, 900, 'USD');
insert into public.auto_top_ups (workspace_id, user_id, payment_product_id, amount, currency, price_id, threshold, monthly_cap, is_active)
values (tests.id('team'), tests.id('owner'), tests.id('pack'), 900, 'USD', 'price_pack', 45, 9, true);
select tests.remember('before', pg_temp.written());
select public.debit_user_credits_transaction(tests.id('owner'), 10, 'use', workspace_id => tests.id('team'));
select public.finish_payment_task((public.claim_payment_task(now() + interval '1 hour') ->> 'id')::bigint, 'declined', 'declined');
update public.auto_top_ups set next_try_at = null;
select private.request_next_top_up(now());
select public.finish_payment_task((public.claim_payment_task(now() + interval '1 hour') ->> 'id')::bigint, payment_id => 'in_1');
select results_eq($$ select a.last_fired_at is not null, t.requested_this_month, t.pending_payment_id, t.updated_at is not null
    from public.credit_alerts a, public.auto_top_ups t $$,
  $$ values (true, 1, 'in_1', true) $$, 'an alert fires, a pack is asked for, declined and charged');
select is(pg_temp.written()::text, tests.recall('before'), 'without a row in the log');
update public.auto_top_ups set pending_payment_id = null, failures = 3;
select private.request_next_top_up(now());
select public.finish_payment_task((public.claim_payment_task(now() + interval '1 hour') ->> 'id')::bigint, 'declined', 'declined');
select is((select new_values from public.audit_logs order by id desc limit 1), '{"is_active": false}', 'that it gave up is');

select is_empty($$
  select t.tgrelid::regclass, t.tgname from pg_catalog.pg_trigger t
  where t.tgfoid = 'private.audit_change'::regproc and t.tgtype & 16 = 16 and t.tgattr = ''
    and t.tgrelid in ('public.credit_wallets'::regclass, 'public.api_keys'::regclass, 'public.workspace_members'::regclass, 'public.spending_limits'::regclass, 'public.users'::regclass,
      'public.credit_alerts'::regclass, 'public.auto_top_ups'::regclass)
$$, 'for their updates do not fire it');

select * from finish();
rollback;
