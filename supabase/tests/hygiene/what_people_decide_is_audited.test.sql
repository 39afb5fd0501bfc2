-- Every table that people or their servers decide about, and what of it: one that is missing here or there was forgotten.
begin;
select plan(2);
select tests.hide_yours();

-- Bits of tgtype: 4 is INSERT, 8 DELETE, 16 UPDATE.
select set_eq($$
  select format('%s: %s', t.tgrelid::regclass, concat_ws(' ', case when bit_or(t.tgtype) & 4 <> 0 then 'insert' end,
    case when bit_or(t.tgtype) & 16 <> 0 then 'update' end, case when bit_or(t.tgtype) & 8 <> 0 then 'delete' end))
  from pg_catalog.pg_trigger t where t.tgfoid = 'private.audit_change'::regproc and t.tgenabled = 'O' group by t.tgrelid
$$, array[
  'workspaces: insert update delete', 'workspace_members: insert update delete', 'spending_limits: update',
  'workspace_invitations: insert update delete', 'api_keys: insert update delete', 'credit_wallets: update',
  'users: update', 'user_email_aliases: insert update delete', 'user_subscriptions: insert update',
  'credit_alerts: insert update delete', 'auto_top_ups: insert update delete',
  'plans: insert update delete', 'payment_products: insert update delete', 'features: insert update delete',
  'plan_features: insert update delete', 'workspace_features: insert update delete', 'ai_providers: insert update delete',
  'ai_models: insert update delete', 'ai_model_fallbacks: insert update delete', 'ai_model_prices: insert update delete',
  'video_models: insert update delete', 'ai_price_components: insert update delete', 'credit_rates: insert update delete', 'system_config: insert update delete'
], 'what people decide is audited');

-- What nobody decides: the ledger, figures, logs, what the platforms tell; and what people write, which is nobody else's.
select set_eq($$
  select c.oid::regclass::text from pg_catalog.pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
    and not exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and t.tgfoid = 'private.audit_change'::regproc)
$$, array[
  'credit_grants', 'credit_transactions', 'feature_usage',
  'payments', 'payment_customers', 'payment_events', 'subscription_history', 'unmatched_payment_emails', 'admin_notifications',
  'notifications', 'audit_logs', 'video_jobs', 'conversations', 'messages', 'attachments', 'rag_documents', 'rag_chunks',
  'sessions', 'session_transcripts', 'session_analysis_logs', 'session_usage',
  'user_sessions'
], 'and these tables hold nothing that people decide');

select * from finish();
rollback;
