-- What is spoken and what a model says of it is in the session's own tables, whose readers are few and whose retention removes it, and
-- nowhere else: not in the log of calls, which a team's admins read, whatever the workspace has it keep; nor in holds, entries or notifications.
begin;
select plan(6);
select tests.create_user('author'), tests.create_user('admin'), tests.create_team('team'), tests.offer_analysis();
select tests.join_team('team', 'admin', 'owner'), tests.join_team('team', 'author');
select public.credit_user_credits_transaction(tests.id('admin'), 100, 'purchase', workspace_id => tests.id('team'));
update public.workspaces set ai_log_content = 'full' where id = tests.id('team');
select tests.remember('session', public.start_session(tests.id('author'), 'call', workspace_id => tests.id('team'), details => '{"request_data": {"text": "spoken words"}}', at => '2026-03-01') #>> '{session,id}');
select tests.remember('call', public.admit_session_analysis(tests.recall('session')::uuid, tests.id('author'), 1, 'hash', '{"characters": 12}', 'gemini', 100, 100, 'request',
  '{"request_data": {"messages": ["spoken words"]}}', at => '2026-03-01 00:01Z'));
select is(tests.recall('call')::jsonb -> 'admitted', 'true', 'an analysis is admitted');
select is((select count(*) from private.credit_holds h where h.workspace_id = tests.id('team') and h::text like '%spoken%'), 0::bigint, 'its hold does not keep what was said');
select public.finish_session_analysis((tests.recall('call')::jsonb ->> 'hold_id')::uuid, 'success', 100, 0, 50,
  '{"safety_level": "red", "severity": 3, "display_text": "spoken words", "action_suggestion": "spoken words", "rag_sources": [{"quote": "spoken words"}]}',
  '{"request_data": {"messages": ["spoken words"]}, "response_data": {"text": "spoken words"}}', at => '2026-03-01 00:01Z');
select public.complete_session(tests.recall('session')::uuid, tests.id('author'), 'spoken words', at => '2026-03-01 00:02Z');

-- In which tables of ours the words stand.
create function pg_temp.places() returns text[] language plpgsql as $$
declare
  place regclass;
  is_there boolean;
  places text[] := '{}';
begin
  for place in select c.oid from pg_catalog.pg_class c where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) order by c.relname loop
    execute format('select exists (select from %s t where t::text like ''%%spoken words%%'')', place) into is_there;
    places := places || case when is_there then array[place::text] else '{}' end;
  end loop;
  return places;
end;
$$;
select is(pg_temp.places(), '{session_analysis_logs,session_transcripts}', 'they are in the session''s own tables, and nowhere else');
select tests.sign_in('admin');
select is((select count(*) from public.ai_usage_logs l where l.scene = 'session_analysis'), 2::bigint, 'an admin reads the log of its calls');
select tests.be_postgres();

-- Both settings take the words away altogether.
update public.workspaces set transcript_retention_days = 1, analysis_retention_days = 1 where id = tests.id('team');
select private.remove_next_old_session_texts('2026-03-03'), private.remove_next_old_session_texts(now() + interval '2 days');
select is(pg_temp.places(), '{}', 'and gone where the workspace keeps them no longer');

-- When its person is deleted too, even a moment later.
update public.workspaces set transcript_retention_days = null where id = tests.id('team');
select tests.write_session('kept', 'author', 'team', transcript => 'spoken words');
update public.session_analysis_logs set display_text = 'spoken words' where session_id = tests.id('kept');
delete from auth.users where id = tests.id('author');
select is(pg_temp.places(), '{}', 'or its person, who never shared them');

select * from finish();
rollback;
