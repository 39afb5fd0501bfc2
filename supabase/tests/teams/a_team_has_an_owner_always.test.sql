begin;
select plan(22);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_user('cal'), tests.create_user('stranger');
select tests.sign_in('ann');
select tests.remember('team', to_jsonb(public.create_workspace('Team', 'the-team')) ->> 'id');
select results_eq(format('select role::text from public.workspace_members where workspace_id = %L', tests.recall('team')),
  array['owner'], 'who makes a team owns it');
select tests.be_postgres();
insert into public.workspace_members (workspace_id, user_id, role)
values (tests.recall('team')::uuid, tests.id('ben'), 'admin'), (tests.recall('team')::uuid, tests.id('cal'), 'member');
create function pg_temp.do(what text) returns text language plpgsql as $$
begin
  execute replace(replace(what, 'TEAM', quote_literal(tests.recall('team')) || '::uuid'), '#', 'tests.id');
  return 'done';
exception when others then
  return sqlerrm;
end $$;
grant execute on function pg_temp.do to public;

select tests.sign_in('ann');
select is(pg_temp.do('select public.leave_workspace(TEAM)'), 'invalid_state', 'the last owner does not leave');
select is(pg_temp.do($$select public.set_member_role(TEAM, #('ann'), 'admin')$$), 'invalid_state', 'nor steps down');
select is(pg_temp.do($$select public.remove_member(TEAM, #('ann'))$$), 'invalid_state', 'nor goes otherwise');
select is(pg_temp.do($$select public.remove_member(TEAM, #('stranger'))$$), 'not_found', 'nobody is removed who is not there');
select tests.sign_in('ben');
select is(pg_temp.do($$select public.set_member_role(TEAM, #('cal'), 'owner')$$), 'forbidden', 'an admin makes no owner');
select is(pg_temp.do($$select public.set_member_role(TEAM, #('ann'), 'member')$$), 'forbidden', 'nor unmakes one');
select is(pg_temp.do($$select public.remove_member(TEAM, #('ann'))$$), 'forbidden', 'nor removes one');
select is(pg_temp.do('select public.delete_workspace(TEAM)'), 'forbidden', 'nor deletes the team');
select is(pg_temp.do($$select public.transfer_ownership(TEAM, #('cal'))$$), 'forbidden', 'nor gives it away');
select is(pg_temp.do($$select public.set_member_role(TEAM, #('cal'), 'admin')$$), 'done', 'but makes an admin');
select is(pg_temp.do($$select public.set_member_role(TEAM, #('cal'), 'member')$$), 'done', 'and unmakes one');
select tests.sign_in('cal');
select is(pg_temp.do($$select public.remove_member(TEAM, #('ben'))$$), 'forbidden', 'a member manages nobody');
select is(pg_temp.do($$select public.set_member_limit(TEAM, #('cal'), 100)$$), 'forbidden', 'not even themselves');
select tests.sign_in('stranger');
select is(pg_temp.do('select public.leave_workspace(TEAM)'), 'not_found', 'a stranger hears of no team');
select is(pg_temp.do($$select public.remove_member(TEAM, #('cal'))$$), 'not_found', 'whatever they ask');
select tests.be_anonymous();
select is(pg_temp.do($$select public.create_workspace('x')$$), 'permission denied for function create_workspace', 'who is not signed in makes none');

select tests.sign_in('ann');
select is(pg_temp.do($$select public.transfer_ownership(TEAM, #('ben'))$$), 'done', 'an owner gives a team away');
select results_eq(format('select role::text from public.workspace_members where workspace_id = %L order by role', tests.recall('team')),
  array['admin', 'member', 'owner'], 'and stays as an admin');
select is(pg_temp.do('select public.leave_workspace(TEAM)'), 'done', 'who may leave');
select is(pg_temp.do($$select public.delete_workspace(#('ann'))$$), 'invalid_state', 'a personal workspace is not deleted');
select tests.sign_in('ben');
select pg_temp.do('select public.delete_workspace(TEAM)');
select is_empty(format('select * from public.workspaces where id = %L', tests.recall('team')), 'an owner deletes a team');

select * from finish();
rollback;
