-- Rows in every audited table, made with secrets and addresses that can be searched for.
begin;
select plan(4);
select tests.hide_yours();
select tests.create_user('owner', 'owner-secret@example.test');
update auth.users set email_confirmed_at = now() where id = tests.id('owner');
select tests.sign_in('owner');
select tests.remember('team', to_jsonb(public.create_workspace('Acme')) ->> 'id');
select tests.remember('invitation', to_jsonb(public.invite_member(tests.recall('team')::uuid, 'secret-mate@example.test'))::text);
select tests.be_postgres();
update public.workspace_invitations set sent_at = now() - interval '2 minutes';
update private.invitation_mails set sent_at = now() - interval '2 minutes';
select tests.sign_in('owner');
select public.resend_invitation((tests.recall('invitation')::jsonb ->> 'id')::uuid);
select tests.remember('key', to_jsonb(public.create_api_key('key', tests.recall('team')::uuid))::text);
select tests.remember('rotated', to_jsonb(public.rotate_api_key((tests.recall('key')::jsonb ->> 'id')::uuid))::text);
insert into public.user_email_aliases (user_id, email) values (tests.id('owner'), 'secret-alias@example.test');
select tests.be_service();
update public.user_email_aliases set confirmed_at = now();
update public.system_config set config_value = config_value, description = description || '.' where config_key = 'signup_credits';
select tests.be_postgres();
update public.users set is_active = false, phone = '+1 secret-phone' where id = tests.id('owner');
update public.workspace_member_credits set credit_limit = 3 where workspace_id = tests.recall('team')::uuid;
update public.credit_wallets set overdraft_limit = 1 where workspace_id = tests.recall('team')::uuid;
update public.plans set messages_limit_paid = true where plan = 'free';
update public.ai_providers set max_retries = 1;
select tests.sell('prod_1', 100, 'basic');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('m', 'M', 'up', 1);
select private.set_model_price('m', '{"input": 0, "output": 0}');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('n', 'N', 'up', 1);
insert into public.ai_model_fallbacks (model, position, fallback_model) values ('m', 1, 'n');
update public.features set name = 'Texts' where feature_code = 'message';
insert into public.plan_features (plan, feature_code) values ('free', 'message');
insert into public.workspace_features (workspace_id, feature_code, reason) values (tests.recall('team')::uuid, 'message', 'a gift');
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.recall('team')::uuid, 'debt', 1);
insert into public.auto_top_ups (workspace_id, payment_product_id, amount, currency, threshold, monthly_cap)
select tests.recall('team')::uuid, p.id, 1, 'USD', 1, 1 from public.payment_products p;
insert into public.video_models (model, durations) values ('m', '{8}');
select public.receive_payment_event('creem', 'evt_1', 'test', '2026-01-01', 'secret-body', jsonb_build_object('rank', 0)
  || jsonb_set(tests.paid_period('prod_1', '2026-01-01', 'owner'), '{customer,email}', '"secret-payer@example.test"'), at => '2026-01-01');
select public.replay_payment_event((select id from public.payment_events));
select public.admin_find_users('owner-secret@example.test');

select set_eq('select distinct resource_type from public.audit_logs where action in (''insert'', ''update'', ''delete'')', $$
  select distinct t.tgrelid::regclass::text from pg_catalog.pg_trigger t where t.tgfoid = 'private.audit_change'::regproc
$$, 'every audited table has rows in the log');
select is_empty($$
  select a.*, s.secret from public.audit_logs a
  cross join (
    values ('secret-'), ('-secret'), (tests.recall('invitation')::jsonb ->> 'token'), (tests.recall('key')::jsonb ->> 'key'),
      (tests.recall('rotated')::jsonb ->> 'key')
    union all select encode(h.key_hash, e) from private.api_key_hashes h, unnest(array['hex', 'base64']) e
    union all select encode(h.token_hash, e) from private.invitation_hashes h, unnest(array['hex', 'base64']) e
  ) s (secret)
  where strpos((to_jsonb(a) - 'actor_email')::text, s.secret) > 0
$$, 'and none holds a token, a hash, a body or an address');
select is_empty($$
  select t.tgrelid::regclass from pg_catalog.pg_trigger t
  where t.tgfoid = 'private.audit_change'::regproc and t.tgrelid = any (array(
    select c.oid from pg_catalog.pg_class c where c.relnamespace = 'private'::regnamespace))
$$, 'tables of hashes and raw keys are not audited at all');
select results_eq($$ select c, private.is_unaudited_column(c) from unnest(array['token_hash', 'key_hash', 'secret', 'raw_body', 'email',
    'name', 'max_output_tokens', 'credits']) c $$,
  $$ values ('token_hash', true), ('key_hash', true), ('secret', true), ('raw_body', true), ('email', true),
    ('name', false), ('max_output_tokens', false), ('credits', false) $$, 'columns are known by their names');

select * from finish();
rollback;
