-- As Supabase Auth runs it: tests/together/deletion.test.ts.
begin;
select plan(11);
create function pg_temp.sweep() returns text language plpgsql as $$
begin
  while private.forget_next_audit_logs(clock_timestamp()) loop
  end loop;
  return 'swept';
end $$;
select tests.create_user(n) from unnest(array['owner', 'mate', 'platform']) n;
update auth.users set email_confirmed_at = now() where id = tests.id('mate');
update public.users set role = 'admin' where id = tests.id('platform');
select tests.sign_in('owner');
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.1", "user-agent": "owner''s"}', true);
select tests.remember('team', to_jsonb(public.create_workspace('Acme')) ->> 'id');
select tests.remember('token', to_jsonb(public.invite_member(tests.recall('team')::uuid, 'mate@example.test', 'admin')) ->> 'token');
select tests.sign_in('mate');
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.2", "user-agent": "mate''s"}', true);
select public.accept_invitation(tests.recall('token'));
select public.create_api_key('team key', tests.recall('team')::uuid);
select public.create_api_key('private words');
update public.workspaces set name = 'private words' where id = tests.id('mate');
select set_config('request.headers', '', true);
select tests.sign_in('platform');
select public.admin_set_account_active(tests.id('mate'), false, 'private words');
select public.admin_find_users('mate@example.test');
select tests.be_postgres();
select isnt((select count(*) from public.audit_logs where actor_id = tests.id('mate')), 0::bigint, 'somebody did things');
select tests.remember('rows', (select count(*) from public.audit_logs));

delete from auth.users where id = tests.id('mate');
select pg_temp.sweep();
select is((select count(*) from public.users where id = tests.id('mate')), 0::bigint, 'their account can be deleted');
select cmp_ok((select count(*) from public.audit_logs), '>=', tests.recall('rows')::bigint, 'no row goes');
select is_empty($$ select a.* from public.audit_logs a
  where a::text ~ 'mate@|203.0.113.2|mate''s|private words' $$, 'their address, ip, browser and words do');
select is((select count(*) from public.audit_logs where actor_id = tests.id('mate') and workspace_id = tests.recall('team')::uuid), 3::bigint,
  'that an account with this id did things in the team stays');
select is((select count(*) from public.audit_logs where workspace_id = tests.recall('team')::uuid and resource_type = 'api_keys'
  and new_values ? 'revoked_at'), 1::bigint, 'the team is told that the key ended');
select is((select count(*) from public.audit_logs where workspace_id = tests.recall('team')::uuid and action = 'delete'
  and resource_type = 'workspace_members'), 1::bigint, 'and the membership');
select is((select count(*) from public.audit_logs where action = 'delete' and resource_type = 'workspaces'
  and resource_id = tests.id('mate')::text), 1::bigint, 'platform admins that the account did');
select is((select max(new_values ->> 'name') from public.audit_logs where resource_type = 'workspaces' and workspace_id = tests.recall('team')::uuid),
  'Acme', 'the team''s own rows stay whole');

select tests.sign_in('owner');
select public.delete_workspace(tests.recall('team')::uuid);
select tests.be_postgres();
select pg_temp.sweep();
select is((select count(*) from public.audit_logs where workspace_id = tests.recall('team')::uuid
  and (old_values is not null or new_values is not null or details is not null)), 0::bigint, 'with the team goes what its rows said');
select is((select actor_email from public.audit_logs where action = 'delete' and resource_id = tests.recall('team')), 'owner@example.test',
  'who deleted it stays, as long as they do');

select * from finish();
rollback;
