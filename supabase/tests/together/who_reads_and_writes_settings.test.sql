begin;
select plan(17);
select tests.create_user('someone'), tests.create_user('admin'), tests.create_user('former admin');
update public.users set role = 'admin' where id in (tests.id('admin'), tests.id('former admin'));
update public.users set is_active = false where id = tests.id('former admin');
update public.system_config set is_active = false where config_key = 'max_credits_balance';

select tests.be_anonymous();
select set_eq('select config_key from public.system_config', array['maintenance_mode', 'signup_credits', 'free_teams_per_user',
    'attachment_types', 'max_message_characters', 'max_message_parts_bytes', 'deleted_content_days', 'session_expected_minutes',
    'session_warn_seconds', 'session_idle_minutes', 'session_longest_minutes', 'session_model',
    'max_document_characters', 'retrieval_embedding_model'],
  'a client without sign-in reads settings that are public and active');
select throws_ok($$ update public.system_config set config_value = 'true' $$, '42501', null, 'and writes none');

select tests.sign_in('someone');
select set_eq('select config_key from public.system_config', array['maintenance_mode', 'signup_credits', 'free_teams_per_user',
    'attachment_types', 'max_message_characters', 'max_message_parts_bytes', 'deleted_content_days', 'session_expected_minutes',
    'session_warn_seconds', 'session_idle_minutes', 'session_longest_minutes', 'session_model',
    'max_document_characters', 'retrieval_embedding_model'],
  'people read the same');
select results_eq($$ update public.system_config set config_value = '1000'
  where config_key = 'signup_credits' returning 1 $$,
  array[]::integer[], 'and change none');
select throws_ok($$ insert into public.system_config (config_key, config_value, value_type, description)
  values ('x', '1', 'number', '') $$,
  '42501', null, 'nor add one');
select throws_ok('delete from public.system_config', '42501', null, 'nor delete one');

select tests.sign_in('admin');
select ok((select count(*) >= 7 from public.system_config), 'a platform admin reads all');
select results_eq($$ update public.system_config set config_value = '5'
  where config_key = 'signup_credits' returning config_value $$,
  $$ values ('5'::jsonb) $$, 'changes them');
select lives_ok($$ insert into public.system_config (config_key, config_value, value_type, description)
  values ('x', '1', 'number', '') $$, 'adds one');
select throws_ok($$ update public.system_config set value_type = 'text' $$, '42501', null,
  'but a setting keeps its type');
select throws_ok($$ update public.system_config set config_key = 'y' $$, '42501', null, 'and its key');
select throws_ok('delete from public.system_config', '42501', null, 'and is never deleted');

select tests.sign_in('former admin');
select set_eq('select config_key from public.system_config', array['maintenance_mode', 'signup_credits', 'free_teams_per_user',
    'attachment_types', 'max_message_characters', 'max_message_parts_bytes', 'deleted_content_days', 'session_expected_minutes',
    'session_warn_seconds', 'session_idle_minutes', 'session_longest_minutes', 'session_model',
    'max_document_characters', 'retrieval_embedding_model'],
  'a disabled admin is none');
select results_eq($$ update public.system_config set config_value = '1000'
  where config_key = 'signup_credits' returning 1 $$,
  array[]::integer[], 'and changes none');

select tests.be_service();
select ok((select count(*) >= 7 from public.system_config), 'the service role reads all');
select lives_ok($$ update public.system_config set config_value = 'true' where config_key = 'maintenance_mode' $$,
  'and changes them');
select throws_ok('delete from public.system_config', '42501', null, 'without deleting any');

select * from finish();
rollback;
