-- A session is run by the person who started it, and by an API key of theirs for its workspace and scene; owners and admins of the
-- team, and who it is shared with, read it and no more; nobody else is told that it exists.
begin;
select plan(35);
select tests.create_user(name) from unnest('{author,owner,admin,member,stranger,past,disabled}'::text[]) name;
select tests.create_team('team'), tests.create_team('other'), tests.offer_analysis();
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'admin', 'admin'), tests.join_team('team', 'author', 'admin'), tests.join_team('team', 'member'),
  tests.join_team('team', 'past'), tests.join_team('team', 'disabled'), tests.join_team('other', 'author', 'owner');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase', workspace_id => tests.id('team'));
select tests.put_on_plan('team', 'enterprise');

-- Keys: of the author for the team, for other scenes, for another workspace, one that was revoked; the admin's for the team.
create function pg_temp.new_key(name text, person text, workspace text, scenes public.ai_usage_scene[] default null) returns void language plpgsql as $$
begin
  perform tests.sign_in(person);
  perform tests.remember(name, to_jsonb(public.create_api_key(name, tests.id(workspace), allowed_scenes => scenes)) ->> 'key');
  perform tests.be_postgres();
end;
$$;
select pg_temp.new_key('key', 'author', 'team'), pg_temp.new_key('chats', 'author', 'team', '{text_chat}'), pg_temp.new_key('elsewhere', 'author', 'other'),
  pg_temp.new_key('revoked', 'author', 'team'), pg_temp.new_key('admins', 'admin', 'team');
update public.api_keys set revoked_at = now() where name = 'revoked';

select tests.remember('none', gen_random_uuid());
select tests.remember('kept', tests.start_session('author', 'kept', workspace => 'team') #>> '{session,id}'), tests.remember('shared', tests.start_session('author', 'shared', workspace => 'team') #>> '{session,id}'),
  tests.remember('past', tests.start_session('past', 'past', workspace => 'team') #>> '{session,id}'), tests.remember('disabled', tests.start_session('disabled', 'disabled', workspace => 'team') #>> '{session,id}');
update public.sessions set is_shared = true where client_id = 'shared';
delete from public.workspace_members where workspace_id = tests.id('team') and user_id = tests.id('past');
update public.users set is_active = false where id = tests.id('disabled');

-- What each rpc answers for a person or a key: what becomes of the session, or the code of the error. Nothing stays done.
create function pg_temp.tries(person text, session text, key text default null, workspace text default null) returns text language plpgsql as $$
declare
  who uuid := case when key is null then tests.id(person) end;
  hash text := encode(sha256(convert_to(tests.recall(key), 'UTF8')), 'hex');
  place uuid := tests.id(workspace);
  those text[] := '{}';
  verb text;
  answer jsonb;
begin
  foreach verb in array '{admit,pause,resume,complete,cancel,fail}'::text[] loop
    begin
      answer := case verb
        when 'admit' then public.admit_session_analysis(tests.recall(session)::uuid, who, 1, 'hash', '{"characters": 1}', 'gemini', 100, 100, gen_random_uuid()::text, api_key_hash => hash, workspace_id => place)
        when 'pause' then public.pause_session(tests.recall(session)::uuid, who, hash, place)
        when 'resume' then public.resume_session(tests.recall(session)::uuid, who, hash, place)
        when 'complete' then public.complete_session(tests.recall(session)::uuid, who, null, null, hash, place)
        when 'cancel' then public.cancel_session(tests.recall(session)::uuid, who, hash, place)
        else public.fail_session(tests.recall(session)::uuid, who, null, hash, place) end;
      raise exception '%', coalesce(case when (answer ->> 'admitted')::boolean then 'admitted' else answer ->> 'code' end, answer #>> '{session,status}') using errcode = 'ZZ001';
    exception when others then
      those := those || sqlerrm;
    end;
  end loop;
  return (select string_agg(distinct t, ' ' order by t) from unnest(those) t);
end;
$$;
select is(pg_temp.tries(person, session, key, workspace), said, concat_ws(' ', coalesce(person, 'the key ' || key), 'of', session, 'in ' || workspace || ':', said)) from (values
  ('author', 'kept', null, null, 'admitted canceled completed failed in_progress paused'), ('author', 'kept', null, 'team', 'admitted canceled completed failed in_progress paused'),
  ('author', 'kept', null, 'other', 'not_found'), ('author', 'none', null, null, 'not_found'),
  ('owner', 'kept', null, null, 'forbidden'), ('admin', 'kept', null, null, 'forbidden'), ('member', 'kept', null, null, 'not_found'), ('stranger', 'kept', null, null, 'not_found'),
  ('nobody', 'kept', null, null, 'not_authenticated'), ('member', 'shared', null, null, 'forbidden'), ('stranger', 'shared', null, null, 'not_found'), ('author', 'past', null, null, 'forbidden'),
  ('past', 'past', null, null, 'not_found'), ('disabled', 'disabled', null, null, 'account_disabled'),
  (null, 'kept', 'key', null, 'admitted canceled completed failed in_progress paused'), (null, 'kept', 'chats', null, 'forbidden'), (null, 'kept', 'elsewhere', null, 'forbidden'),
  (null, 'kept', 'revoked', null, 'invalid_api_key'), (null, 'kept', 'admins', null, 'forbidden'), (null, 'past', 'key', null, 'forbidden')) x (person, session, key, workspace, said);
update public.users set is_active = false where id = tests.id('author');
select is(pg_temp.tries(null, 'kept', 'key'), 'account_disabled', 'the key of who is disabled');
update public.users set is_active = true where id = tests.id('author');

-- What it is analysed with is said with its workspace to its person alone.
select is(public.session_context(tests.recall('kept')::uuid, tests.id(person)) ->> 'workspace_id', said, format('%s is told its workspace: %s', person, said))
from (values ('author', tests.id('team')::text), ('admin', null), ('stranger', null)) x (person, said);

-- By role: clients call none of it, and functions correct nothing.
select is((select array_agg(role || ' ' || f.proname order by role, f.proname) from pg_catalog.pg_proc f, unnest('{anon,authenticated,basemeter_functions,service_role}'::text[]) role
    where f.pronamespace = 'public'::regnamespace and f.proname in ('correct_session', 'set_credit_rate', 'complete_session') and has_function_privilege(role, f.oid, 'execute')),
  '{"basemeter_functions complete_session","service_role complete_session","service_role correct_session","service_role set_credit_rate"}', 'who corrects a session or sets a rate: the service role');

-- Rates: the general ones are everybody's who signed in; a workspace's are its members'.
select public.set_credit_rate('[{"unit": "fixed", "credits": 1}, {"unit": "minute", "credits": 1}]', tests.id('team'));
create function pg_temp.rates(person text) returns text language plpgsql as $$
declare
  seen text;
begin
  perform tests.sign_in(person);
  select format('%s %s', count(*) filter (where r.workspace_id is null), count(*) filter (where r.workspace_id = tests.id('team'))) into seen from public.credit_rates r;
  perform tests.be_postgres();
  return seen;
end;
$$;
select is(pg_temp.rates(person), said, format('%s reads of the general rate and the team''s: %s rows', person, said))
from (values ('owner', '1 2'), ('member', '1 2'), ('stranger', '1 0'), ('past', '1 0')) x (person, said);
select tests.be_anonymous();
select throws_ok('select * from public.credit_rates', '42501', null, 'who is not signed in reads none');
select tests.sign_in('owner');
select throws_ok('update public.credit_rates set credits = 0', '42501', null, 'nobody writes them past the function: not an owner');
select tests.be_service();
select throws_ok('delete from public.credit_rates', '42501', null, 'nor the service role');
select is((select count(*) from public.credit_rates), 3::bigint, 'which reads all');
select tests.be_postgres();

select is((select string_agg(format('%s %s', s.client_id, s.status), ', ' order by s.client_id) from public.sessions s), 'disabled in_progress, kept in_progress, past in_progress, shared in_progress', 'nothing was done by those who may not');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
