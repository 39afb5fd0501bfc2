-- The whole list of rights on tables and columns, of everyone but the owner.
begin;
select plan(1);
select tests.hide_yours();

select set_eq($$
  with granted as (
    select c.oid as table_id, a.grantee, a.privilege_type, null::name as column_name
    from pg_catalog.pg_class c, aclexplode(c.relacl) a
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and a.grantee <> c.relowner
      and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
    union all
    select c.oid, a.grantee, a.privilege_type, t.attname
    from pg_catalog.pg_class c join pg_catalog.pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a
    where a.grantee <> c.relowner and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
  )
  select concat_ws(' ', case when grantee = 0 then 'PUBLIC' else grantee::regrole::text end, lower(privilege_type),
    table_id::regclass, '(' || string_agg(column_name, ', ' order by column_name) || ')')
  from granted group by grantee, privilege_type, table_id
$$, array[
  'anon select plans', 'authenticated select plans',
  'service_role select plans', 'service_role insert plans', 'service_role update plans',

  'authenticated select users', 'service_role select users',
  'authenticated update users (avatar_url, full_name, phone, preferred_language, theme_preference)',
  'service_role update users (avatar_url, full_name, is_active, phone, preferred_language, role, theme_preference)',
  'authenticated select workspaces', 'service_role select workspaces',
  'service_role insert workspaces (name)', 'service_role update workspaces (ai_log_content, name, slug)',
  'authenticated update workspaces (ai_log_content, name, slug)',
  'authenticated select workspace_members', 'service_role select workspace_members',
  'authenticated select spending_limits', 'service_role select spending_limits',
  'authenticated select workspace_member_credits', 'service_role select workspace_member_credits',
  'authenticated select workspace_invitations', 'service_role select workspace_invitations',

  'anon select system_config', 'authenticated select system_config', 'service_role select system_config',
  'authenticated insert system_config '
    '(config_key, config_value, description, is_active, is_public, maximum, minimum, value_type)',
  'service_role insert system_config '
    '(config_key, config_value, description, is_active, is_public, maximum, minimum, value_type)',
  'authenticated update system_config (config_value, description, is_active, is_public, maximum, minimum)',
  'service_role update system_config (config_value, description, is_active, is_public, maximum, minimum)',

  'authenticated select credit_wallets', 'service_role select credit_wallets',
  'service_role update credit_wallets (overdraft_limit)',
  'authenticated select credit_grants', 'service_role select credit_grants',
  'authenticated select credit_holds', 'service_role select credit_holds',
  'authenticated select private.credit_holds '
    '(amount, closed_at, created_at, description, expires_at, feature_code, final_amount, id, '
    'idempotency_key, metadata, reason, settled_amount, spender_id, state, user_id, workspace_id)',
  'service_role select private.credit_holds '
    '(amount, closed_at, created_at, description, expires_at, feature_code, final_amount, id, '
    'idempotency_key, metadata, reason, settled_amount, spender_id, state, user_id, workspace_id)',
  'authenticated select credit_transactions', 'service_role select credit_transactions',

  'anon select models', 'authenticated select models', 'service_role select models',
  'authenticated select ai_models', 'service_role select ai_models',
  'service_role insert ai_models', 'service_role update ai_models', 'service_role delete ai_models',
  'authenticated select ai_model_prices', 'service_role select ai_model_prices',
  'service_role insert ai_model_prices', 'service_role update ai_model_prices', 'service_role delete ai_model_prices',
  'service_role select ai_providers',
  'service_role insert ai_providers', 'service_role update ai_providers', 'service_role delete ai_providers',
  'service_role select ai_model_fallbacks', 'service_role insert ai_model_fallbacks',
  'service_role update ai_model_fallbacks', 'service_role delete ai_model_fallbacks',
  'authenticated select api_keys', 'service_role select api_keys',
  'authenticated update api_keys '
    '(allowed_models, allowed_scenes, budget, budget_period, expires_at, name, period_budget, requests_per_minute)',
  'service_role update api_keys '
    '(allowed_models, allowed_scenes, budget, budget_period, expires_at, name, period_budget, requests_per_minute)',
  'authenticated select ai_usage_logs', 'service_role select ai_usage_logs',
  'authenticated select ai_usage_statistics', 'service_role select ai_usage_statistics',
  'authenticated select private.ai_usage_logs '
    '(api_key_id, cached_tokens, completion_tokens, created_at, credits_charged, duration, error_code, '
    'error_message, estimated_cost, free_credits, hold_id, id, images, ip_address, model, paid_credits, '
    'prompt_tokens, reference_id, request_data, request_id, requests, response_data, scene, '
    'scene_description, status, total_tokens, usage_period_start, usage_record_id, usage_source, '
    'user_agent, user_id, workspace_id)',
  'service_role select private.ai_usage_logs '
    '(api_key_id, cached_tokens, completion_tokens, created_at, credits_charged, duration, error_code, '
    'error_message, estimated_cost, free_credits, hold_id, id, images, ip_address, model, paid_credits, '
    'prompt_tokens, reference_id, request_data, request_id, requests, response_data, scene, '
    'scene_description, status, total_tokens, usage_period_start, usage_record_id, usage_source, '
    'user_agent, user_id, workspace_id)',
  'authenticated select private.usage_by_day '
    '(api_key_id, canceled_requests, completion_tokens, cost, credits, day, duration, failed_requests, '
    'first_call_at, free_credits, last_call_at, model, prompt_tokens, refused_requests, requests, scene, '
    'success_requests, user_id, workspace_id)',
  'service_role select private.usage_by_day '
    '(api_key_id, canceled_requests, completion_tokens, cost, credits, day, duration, failed_requests, '
    'first_call_at, free_credits, last_call_at, model, prompt_tokens, refused_requests, requests, scene, '
    'success_requests, user_id, workspace_id)',

  'anon select features', 'authenticated select features', 'service_role select features',
  'service_role insert features', 'service_role update features',
  'anon select plan_features', 'authenticated select plan_features', 'service_role select plan_features',
  'service_role insert plan_features', 'service_role update plan_features', 'service_role delete plan_features',
  'authenticated select workspace_features', 'service_role select workspace_features',
  'service_role insert workspace_features', 'service_role update workspace_features', 'service_role delete workspace_features',
  'authenticated select usage_records', 'service_role select usage_records',
  'authenticated select private.usage_records', 'service_role select private.usage_records',
  'authenticated select feature_usage', 'service_role select feature_usage',
  'authenticated select notifications', 'service_role select notifications',
  'authenticated update notifications (read_at)', 'service_role update notifications (read_at)',
  'authenticated select credit_alerts', 'service_role select credit_alerts',
  'anon select video_models', 'authenticated select video_models',
  'service_role select video_models', 'service_role insert video_models', 'service_role update video_models',
  'service_role delete video_models',
  'authenticated select video_model_prices',
  'service_role select video_model_prices', 'service_role insert video_model_prices',
  'service_role update video_model_prices', 'service_role delete video_model_prices',
  'authenticated select video_jobs', 'service_role select video_jobs', 'authenticated update video_jobs (is_shared)',
  'authenticated insert credit_alerts (is_active, kind, threshold, workspace_id)',
  'service_role insert credit_alerts (is_active, kind, threshold, workspace_id)',
  'authenticated update credit_alerts (is_active, threshold)', 'service_role update credit_alerts (is_active, threshold)',
  'authenticated delete credit_alerts', 'service_role delete credit_alerts',
  'authenticated select auto_top_ups', 'service_role select auto_top_ups',

  'anon select payment_products', 'authenticated select payment_products', 'service_role select payment_products',
  'service_role insert payment_products', 'service_role update payment_products',
  'authenticated select payment_customers', 'service_role select payment_customers',
  'authenticated select user_subscriptions', 'service_role select user_subscriptions',
  'authenticated select current_subscriptions', 'service_role select current_subscriptions',
  'authenticated select payments', 'service_role select payments',
  'authenticated select subscription_history', 'service_role select subscription_history',
  'authenticated select payment_events', 'service_role select payment_events',
  'authenticated select unmatched_payment_emails', 'service_role select unmatched_payment_emails',
  'authenticated select admin_notifications', 'service_role select admin_notifications',
  'authenticated update admin_notifications (read_at)', 'service_role update admin_notifications (read_at)',
  'authenticated select user_email_aliases', 'service_role select user_email_aliases',
  'authenticated insert user_email_aliases (email, user_id)',
  'service_role insert user_email_aliases (confirmed_at, email, user_id)',
  'service_role update user_email_aliases (confirmed_at)',
  'authenticated delete user_email_aliases', 'service_role delete user_email_aliases',

  'authenticated select audit_logs', 'service_role select audit_logs'
], 'rights on tables and columns are these and no others');

select * from finish();
rollback;
