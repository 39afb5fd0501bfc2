-- A definer function runs with its owner's rights, past row level security: each one is here because it has to be.
begin;
select plan(3);
select tests.hide_yours();

select set_eq($$
  select p.proname::text from pg_catalog.pg_proc p where p.pronamespace = 'private'::regnamespace and p.prosecdef
$$, array[
  'my_workspace_ids', 'my_managed_workspace_ids', 'is_platform_admin', -- policies call them
  -- what is done to a team: they check who does it
  'create_my_workspace', 'delete_my_workspace', 'leave_my_workspace', 'remove_member_of_mine', 'set_role_in_mine',
  'transfer_my_ownership', 'set_limit_in_mine', 'invite_into_mine', 'resend_invitation_of_mine', 'revoke_invitation_of_mine',
  'accept_my_invitation', 'people_of',
  'complete_account', 'handle_new_user', 'lock_wallets_of_user', -- triggers on auth.users
  'keep_usage_records', -- a trigger that a deletion of an account reaches
  'check_feature_for', -- for signed-in people, whom it checks
  'create_wallet', -- a trigger on workspaces, which nobody may write wallets for
  'keep_ledger_entries', 'forget_log_person', -- triggers that a deletion of an account reaches
  'run_due_work', -- the scheduler calls it
  'create_my_api_key', 'rotate_my_api_key', 'revoke_my_api_key', -- hashes of keys are nobody's to write
  'revoke_keys_of_person', 'merge_statistics_of_person', -- triggers that a deletion of an account reaches
  'count_ai_call', -- a trigger on the log, for the statistics that nobody may write
  'usage_of_everyone', -- for platform admins, whom it checks
  'explain_charge', -- for who may see the call, whom it checks
  'my_entries', -- a member's own, without what their entries tell of the wallet
  'models_on_offer', -- prices are the operator's, the list in credits is everyone's
  'resolve_unmatched_payment', 'resolve_dispute', 'replay_payment_event', -- for platform admins too
  'keep_product_terms', -- a trigger on products, whose terms nobody may write
  'limit_email_aliases', -- a trigger that counts what a policy may hide
  'claim_payments', -- a trigger on auth.users
  'follow_payment', -- a trigger on payments, which a deletion reaches
  'keep_member_limit', 'keep_key_limit', -- triggers on memberships and keys, for limits that nobody writes by hand
  'lock_settings', 'keep_api_key', 'note_alerts', 'note_top_up_rule', -- triggers on keys, alerts and top-ups, for wallets that their owners do not write
  'watch_spending', 'watch_wallet', -- triggers that tell people, for whom nobody writes
  'set_top_up_of_mine', 'disable_top_up_of_mine', -- what was charged is nobody's to write
  'leave_payments_without_workspace', -- a trigger that a deletion of an account reaches
  'is_account_active', -- policies call it
  'audit_change', -- a trigger on what is audited, for the log that nobody may write
  'keep_audit_logs', 'forget_in_audit_logs', -- triggers that a deletion of an account reaches
  'keep_video_job', 'forget_video_person', 'remove_file_of_video_job', -- as well
  'gone_from_audit_logs', -- policies call it
  'admin_find_users', 'admin_find_workspaces', 'admin_adjust_credits', 'admin_set_account_active', 'admin_set_overdraft',
  'admin_set_config', 'admin_set_model_price' -- for platform admins, whom they check
], 'the definers in private are these');

select set_eq($$
  select p.proname::text from pg_catalog.pg_proc p where p.pronamespace = 'public'::regnamespace and p.prosecdef
$$, array[
  'credit_user_credits_transaction', 'debit_user_credits_transaction', 'refund_user_credits', 'clawback_credits',
  'hold_credits', 'settle_credit_hold', 'release_credit_hold', 'extend_credit_hold', 'expire_credits', 'verify_credits',
  'require_api_key', 'admit_ai_call', 'extend_ai_call', 'finish_ai_call', 'record_ai_usage', 'list_ai_models', 'rebuild_usage_statistics',
  'consume_feature', 'release_feature',
  'receive_payment_event', 'begin_checkout', 'begin_plan_change', 'begin_subscription_change', 'get_billing_account', 'claim_payment_task',
  'finish_payment_task',
  'create_video_job', 'start_video_job', 'update_video_job', 'fail_video_job', 'cancel_video_job', 'get_video_job',
  'video_job_of_webhook', 'video_job_of_file', 'sync_video_jobs', 'note_video_task_missing', 'note_video_file', 'finish_video_file_removal'
], 'the definers in public are these');

select is_empty($$
  select p.oid::regprocedure, r.rolname
  from pg_catalog.pg_proc p cross join (values ('anon'), ('authenticated'), ('authenticator')) r (rolname)
  where p.pronamespace = 'public'::regnamespace and p.prosecdef and has_function_privilege(r.rolname, p.oid, 'execute')
$$, 'no client may call a definer in public');

select * from finish();
rollback;
