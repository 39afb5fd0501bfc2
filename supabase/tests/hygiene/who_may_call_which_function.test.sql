begin;
select plan(4);
select tests.hide_yours();

select set_eq($$
  select format('%s.%s', p.pronamespace::regnamespace, p.proname) from pg_catalog.pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and has_function_privilege('anon', p.oid, 'execute')
$$, array['public.list_payment_products', 'private.models_on_offer'], 'anon may ask what is sold');

select set_eq($$
  select format('%s.%s', p.pronamespace::regnamespace, p.proname) from pg_catalog.pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and has_function_privilege('authenticated', p.oid, 'execute')
$$, array[
  'private.my_workspace_ids', 'private.my_managed_workspace_ids', 'private.is_platform_admin',
  'public.create_workspace', 'public.delete_workspace', 'public.leave_workspace', 'public.list_members', 'private.people_of', 'public.remove_member',
  'public.set_member_role', 'public.transfer_ownership', 'public.set_member_limit', 'public.invite_member',
  'public.resend_invitation', 'public.revoke_invitation', 'public.accept_invitation',
  'private.create_my_workspace', 'private.delete_my_workspace', 'private.leave_my_workspace', 'private.remove_member_of_mine',
  'private.set_role_in_mine', 'private.transfer_my_ownership', 'private.set_limit_in_mine', 'private.invite_into_mine',
  'private.resend_invitation_of_mine', 'private.revoke_invitation_of_mine', 'private.accept_my_invitation', 'private.is_config_value',
  'public.create_api_key', 'public.rotate_api_key', 'public.revoke_api_key',
  'public.credits_used', 'public.period_credits_used', 'public.period_started_at',
  'private.create_my_api_key', 'private.rotate_my_api_key', 'private.revoke_my_api_key',
  'public.check_feature', 'private.check_feature_for',
  'public.explain_charge', 'private.explain_charge', 'public.usage_report', 'private.usage_by', 'private.usage_of_everyone',
  'private.models_on_offer', 'public.my_credit_transactions', 'private.my_entries',
  'public.set_auto_top_up', 'private.set_top_up_of_mine', 'public.disable_auto_top_up', 'private.disable_top_up_of_mine',
  'public.list_payment_products', 'public.resolve_unmatched_payment', 'private.resolve_unmatched_payment',
  'public.resolve_dispute', 'private.resolve_dispute', 'public.replay_payment_event', 'private.replay_payment_event',
  'private.is_account_active', 'private.gone_from_audit_logs',
  'public.admin_find_users', 'private.admin_find_users', 'public.admin_find_workspaces', 'private.admin_find_workspaces',
  'public.admin_adjust_credits', 'private.admin_adjust_credits',
  'public.admin_set_account_active', 'private.admin_set_account_active',
  'public.admin_set_overdraft', 'private.admin_set_overdraft', 'public.admin_set_config', 'private.admin_set_config',
  'public.admin_set_model_price', 'private.admin_set_model_price'
], 'signed-in people may call what policies and checks of their own writes need, and what is theirs to do');

select set_eq($$
  select format('%s.%s', p.pronamespace::regnamespace, p.proname) from pg_catalog.pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and has_function_privilege('service_role', p.oid, 'execute')
$$, array[
  'public.credit_user_credits_transaction', 'public.debit_user_credits_transaction', 'public.refund_user_credits',
  'public.clawback_credits', 'public.hold_credits', 'public.settle_credit_hold', 'public.release_credit_hold',
  'public.extend_credit_hold', 'public.expire_credits', 'public.verify_credits', 'public.require_api_key', 'public.credits_used', 'public.period_credits_used',
  'public.period_started_at', 'public.admit_ai_call',
  'public.finish_ai_call', 'public.extend_ai_call', 'public.record_ai_usage', 'public.list_ai_models',
  'public.rebuild_usage_statistics', 'public.explain_charge', 'private.explain_charge', 'private.is_config_value',
  'public.usage_report', 'private.usage_by', 'private.usage_of_everyone', 'private.models_on_offer',
  'public.consume_feature', 'public.release_feature', 'public.check_feature', 'private.check_feature_for',
  'public.receive_payment_event', 'public.begin_checkout', 'public.begin_plan_change', 'public.begin_subscription_change', 'public.get_billing_account',
  'public.create_video_job', 'public.start_video_job', 'public.update_video_job', 'public.fail_video_job',
  'public.cancel_video_job', 'public.get_video_job', 'public.video_job_of_webhook', 'public.video_job_of_file', 'public.sync_video_jobs',
  'public.note_video_task_missing', 'public.note_video_file', 'public.finish_video_file_removal',
  'public.claim_payment_task', 'public.finish_payment_task', 'public.list_payment_products',
  'public.resolve_unmatched_payment', 'private.resolve_unmatched_payment', 'public.resolve_dispute',
  'private.resolve_dispute', 'public.replay_payment_event', 'private.replay_payment_event',
  'public.admin_find_users', 'private.admin_find_users', 'public.admin_find_workspaces', 'private.admin_find_workspaces',
  'public.admin_adjust_credits', 'private.admin_adjust_credits',
  'public.admin_set_account_active', 'private.admin_set_account_active',
  'public.admin_set_overdraft', 'private.admin_set_overdraft', 'public.admin_set_config', 'private.admin_set_config',
  'public.admin_set_model_price', 'private.admin_set_model_price'
], 'the service role may call the credit and call functions');

select is_empty($$
  select p.oid::regprocedure, a.grantee
  from pg_catalog.pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and (a.grantee = 0 or a.is_grantable and a.grantee <> p.proowner)
$$, 'no function is open to PUBLIC, and nobody may pass a right on');

select * from finish();
rollback;
