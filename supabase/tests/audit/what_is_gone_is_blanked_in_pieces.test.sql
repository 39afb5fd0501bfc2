begin;
select plan(20);
select tests.create_user(n) from unnest(array['owner', 'mate', 'platform']) n;
update public.users set role = 'admin' where id = tests.id('platform');
select tests.create_team('team'), tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'mate', 'admin');
select tests.create_team('other'), tests.join_team('other', 'owner', 'owner');
insert into public.audit_logs (workspace_id, actor_id, actor_role, actor_email, action, resource_type, resource_id, new_values)
select tests.id('team'), tests.id('mate'), 'authenticated', 'mate@example.test', 'update', 'api_keys', 'busy', '{"name": "words"}'
from generate_series(1, 2500);
insert into public.audit_logs (actor_role, action, resource_type, resource_id, details)
values ('authenticated', 'admin_adjust_credits', 'workspaces', tests.id('team')::text, '{"reason": "words"}'),
  ('authenticated', 'admin_adjust_credits', 'workspaces', tests.id('other')::text, '{"reason": "words"}');
create function pg_temp.telling() returns text language sql as $$
  select format('%s with words, %s with an address', count(*) filter (where a::text like '%words%'), count(*) filter (where a.actor_email like 'mate@%'))
  from public.audit_logs a
$$;
create function pg_temp.seen_by(person text) returns text language plpgsql as $$
declare
  answer text;
begin
  perform tests.sign_in(person);
  answer := format('%s busy, %s adjusted', (select count(*) from public.audit_logs where resource_id = 'busy'),
    (select count(*) from public.audit_logs where action = 'admin_adjust_credits'));
  perform tests.be_postgres();
  return answer;
end $$;
create function pg_temp.pieces(most integer) returns integer language plpgsql as $$
declare
  done integer := 0;
begin
  while done < most and private.forget_next_audit_logs(clock_timestamp()) loop
    done := done + 1;
  end loop;
  return done;
end $$;

select is(pg_temp.telling(), '2502 with words, 2500 with an address', 'much was done in a team');
select is(pg_temp.seen_by('owner'), '2500 busy, 0 adjusted', 'its owner sees it');
select is(pg_temp.pieces(1), 0, 'while all are there nothing is blanked');

-- A person goes.
delete from auth.users where id = tests.id('mate');
select is(pg_temp.telling(), '2502 with words, 2500 with an address', 'a deletion does not wait for all they did');
select is(pg_temp.seen_by('owner'), '0 busy, 0 adjusted', 'which nobody is shown from then on');
select is(pg_temp.seen_by('platform'), '0 busy, 2 adjusted', 'no platform admin either');
select is(private.forget_next_audit_logs(clock_timestamp() - interval '1 hour'), false, 'it is due when they are gone');
select is(pg_temp.pieces(100), 5, 'it is blanked in pieces');
select is(pg_temp.telling(), '2502 with words, 0 with an address', 'their address goes, what the team''s rows say stays');
select is(pg_temp.seen_by('owner'), '2500 busy, 0 adjusted', 'and all is shown again');

-- The team goes.
select tests.sign_in('owner');
select public.delete_workspace(tests.id('team'));
select tests.be_postgres();
select is(pg_temp.telling(), '2502 with words, 0 with an address', 'a team''s end does not wait for all that was done in it');
select is(pg_temp.seen_by('platform'), '0 busy, 1 adjusted', 'nobody is shown it, nor what was done to it');
select is(pg_temp.pieces(1), 1, 'a piece is blanked');
select is((select count(*) from public.audit_logs where workspace_id = tests.id('team') and new_values is null and old_values is null), 1000::bigint, 'a thousand rows');
select is(pg_temp.seen_by('platform'), '0 busy, 1 adjusted', 'the others are still not shown');
select is(private.run_due_work() + private.run_due_work() + private.run_due_work(), 3, 'the rest is due work');
select is(private.run_due_work(), 0, 'until there is none');
select is(pg_temp.telling(), '1 with words, 0 with an address', 'nothing of the team is told any more, of others all');
select is(pg_temp.seen_by('platform'), '2500 busy, 2 adjusted', 'that it was done is');
select is_empty('select * from private.audit_removals', 'and nothing is left to do');

select * from finish();
rollback;
