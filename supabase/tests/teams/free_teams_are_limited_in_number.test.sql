begin;
select plan(18);
select tests.create_user(n) from unnest(array['ann', 'ben', 'cal']) n;
update public.system_config set config_value = '2' where config_key = 'free_teams_per_user';
create function pg_temp.as_of(person text, what text) returns text language plpgsql as $$
declare
  answer text;
begin
  perform tests.sign_in(person);
  begin
    execute 'select ' || what into answer;
  exception when others then
    answer := sqlstate || ' ' || sqlerrm;
  end;
  perform tests.be_postgres();
  return coalesce(answer, 'done');
end $$;
create function pg_temp.subscribe(team text, status public.subscription_status) returns void language sql as $$
  insert into public.user_subscriptions (workspace_id, platform, subscription_id, plan_type, plan_status, is_live, access_until,
    state_occurred_at, state_rank, state_event_id)
  values (tests.recall(team)::uuid, 'creem', team, 'basic', status, true, 'infinity', now(), 0, 'evt')
  on conflict (platform, subscription_id) do update set plan_status = excluded.plan_status
$$;
select tests.remember('one', pg_temp.as_of('ann', $$to_jsonb(public.create_workspace('one')) ->> 'id'$$));
select tests.remember('two', pg_temp.as_of('ann', $$to_jsonb(public.create_workspace('two')) ->> 'id'$$));
select is(pg_temp.as_of('ann', $$public.create_workspace('three')$$), 'PT429 limit_reached', 'no third team where two are allowed');
select pg_temp.subscribe('one', 'trialing');
select is(pg_temp.as_of('ann', $$public.create_workspace('three')$$), 'PT429 limit_reached', 'a trial is no payment');
select pg_temp.subscribe('one', 'active');
select tests.remember('three', pg_temp.as_of('ann', $$to_jsonb(public.create_workspace('three')) ->> 'id'$$));
select isnt(tests.recall('three')::uuid, null, 'a team that is paid for is none of them');

-- Taken over.
select pg_temp.as_of('cal', format('public.create_workspace(%L)', n)) from unnest(array['cals', 'cals too']) n;
insert into public.workspace_members (workspace_id, user_id) select tests.recall(t)::uuid, tests.id(p)
from unnest(array['one', 'two', 'three']) t, unnest(array['ben', 'cal']) p;
select is(pg_temp.as_of('ann', $$public.transfer_ownership(tests.recall('two')::uuid, tests.id('cal'))$$), 'PT429 limit_reached',
  'who owns as many as allowed is given none');
select is(pg_temp.as_of('ann', $$public.set_member_role(tests.recall('two')::uuid, tests.id('cal'), 'owner')$$), 'PT429 limit_reached',
  'nor made an owner of one');
select is((select string_agg(role::text, ' ' order by role) from public.workspace_members where workspace_id = tests.recall('two')::uuid),
  'owner member member', 'and all stays as it was');
select is(pg_temp.as_of('ann', $$public.set_member_role(tests.recall('two')::uuid, tests.id('cal'), 'admin')$$), 'done', 'an admin they may be');
select is(pg_temp.as_of('ann', $$public.set_member_role(tests.recall('one')::uuid, tests.id('cal'), 'owner')$$), 'done', 'an owner of one that is paid for too');
update public.user_subscriptions set plan_status = 'trialing';
select is(pg_temp.as_of('ann', $$public.set_member_role(tests.recall('one')::uuid, tests.id('cal'), 'owner')$$), 'done', 'who is an owner already stays one');
select is(pg_temp.as_of('ann', $$public.transfer_ownership(tests.recall('two')::uuid, tests.id('ben'))$$), 'done', 'who has room takes one over');
select is(pg_temp.as_of('ben', $$public.set_member_role(tests.recall('two')::uuid, tests.id('ann'), 'owner')$$), 'PT429 limit_reached',
  'as often as they are given back and forth');

-- Deleted: ben owns one, and makes another.
select tests.remember('four', pg_temp.as_of('ben', $$to_jsonb(public.create_workspace('four')) ->> 'id'$$));
select is(pg_temp.as_of('ben', $$public.delete_workspace(tests.recall('four')::uuid)$$), 'done', 'a team is deleted');
select is(pg_temp.as_of('ben', $$public.create_workspace('five')$$), 'PT429 limit_reached', 'and counts for the month it was made in');
update private.deleted_free_teams set made_at = made_at - interval '1 month';
select tests.remember('five', pg_temp.as_of('ben', $$to_jsonb(public.create_workspace('five')) ->> 'id'$$));
select isnt(tests.recall('five'), null, 'the next month it does not');
select is_empty('select * from private.deleted_free_teams', 'and is forgotten');
update public.workspaces set created_at = created_at - interval '1 month' where id = tests.recall('five')::uuid;
select pg_temp.as_of('ben', $$public.delete_workspace(tests.recall('five')::uuid)$$);
select tests.remember('six', pg_temp.as_of('ben', $$to_jsonb(public.create_workspace('six')) ->> 'id'$$));
select isnt(tests.recall('six')::uuid, null, 'nor does one that was made earlier');
select pg_temp.subscribe('six', 'active');
select pg_temp.as_of('ben', $$public.delete_workspace(tests.recall('six')::uuid)$$);
select is_empty('select * from private.deleted_free_teams', 'nor one that was paid for');
select isnt(pg_temp.as_of('ben', $$to_jsonb(public.create_workspace('seven')) ->> 'id'$$)::uuid, null, 'so that another can be made');

select * from finish();
rollback;
