begin;
select plan(30);
select tests.create_user('author'), tests.create_user('owner'), tests.create_user('member'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'author'), tests.join_team('team', 'member');
-- Whose transcripts there are.
create function pg_temp.transcripts() returns text language sql as $$
  select string_agg(s.client_id, ' ' order by s.client_id) from public.session_transcripts t join public.sessions s on s.id = t.session_id where s.workspace_id in (tests.id('team'), tests.id('author'))
$$;
-- How many analyses of a session still say something.
create function pg_temp.saying(session text) returns bigint language sql as $$
  select count(*) from public.session_analysis_logs l where l.session_id = tests.id(session) and (l.display_text, l.action_suggestion, l.rag_documents, l.rag_sources) is distinct from ('', null, '[]'::jsonb, '[]'::jsonb)
$$;
-- Does all that is due.
create function pg_temp.sweep(at timestamptz) returns integer language plpgsql as $$
begin
  for pieces in 0 .. 100 loop
    if not private.remove_next_old_session_texts(at) then
      return pieces;
    end if;
  end loop;
end;
$$;
select tests.write_session('old', 'author', 'team', transcript => 'words', ended_at => '2026-03-01 12:00+00'), tests.write_session('new', 'author', 'team', transcript => 'words', ended_at => '2026-03-20 12:00+00'),
  tests.write_session('running', 'author', 'team'), tests.write_session('home', 'author', transcript => 'words', ended_at => '2026-03-01 12:00+00');
select is(pg_temp.sweep('2126-01-01'), 0, 'nothing is removed unless a workspace says so');

-- Who sets it.
select tests.sign_in('member');
update public.workspaces set transcript_retention_days = 1 where id = tests.id('team');
select tests.be_postgres();
select is((select transcript_retention_days from public.workspaces where id = tests.id('team')), null, 'a member does not');
select tests.sign_in('owner');
select lives_ok($$ update public.workspaces set transcript_retention_days = 10 where id = tests.id('team') $$, 'an owner does');
select throws_ok(format('update public.workspaces set %s = %s where id = tests.id(''team'')', c, d), '23514', null, format('not %s of %s', d, c))
from unnest('{transcript_retention_days,analysis_retention_days}'::text[]) c, unnest('{-1,36501}'::integer[]) d;
select tests.be_postgres();
select is((select concat(old_values, new_values) from public.audit_logs where workspace_id = tests.id('team') and new_values ? 'transcript_retention_days'),
  '{"transcript_retention_days": null}{"transcript_retention_days": 10}', 'which is audited');

-- Transcripts, from the day on; figures and analyses stay.
select is(pg_temp.sweep('2026-03-11 12:00+00'), 0, 'after ten days to the instant nothing is old');
select is(pg_temp.sweep('2026-03-11 12:00:01+00'), 1, 'a moment later one is');
select is(pg_temp.transcripts(), 'home new', 'which is gone, and no other');
select is(pg_temp.saying('old'), 4::bigint, 'its analyses are another setting''s');
update public.workspaces set transcript_retention_days = 0 where id = tests.id('team');
select is(pg_temp.sweep('2026-03-20 12:00:01+00'), 1, 'at 0 what there is goes');
select is(pg_temp.transcripts(), 'home', 'at the next sweep');
select tests.write_session('silent', 'author', 'team', transcript => 'words', ended_at => '2026-03-21'), tests.write_session('spoken', 'author', transcript => 'words', ended_at => '2026-03-21');
select is(pg_temp.transcripts(), 'home spoken', 'and what comes is not stored at all');

-- Texts of analyses.
select tests.sign_in('owner');
update public.workspaces set analysis_retention_days = 10 where id = tests.id('team');
select tests.be_postgres();
select ok(exists (select from public.audit_logs where workspace_id = tests.id('team') and new_values = '{"analysis_retention_days": 10}'), 'is audited as well');
select is(pg_temp.sweep('2026-03-11 12:00:01+00'), 1, 'the texts of one session are old');
select is(pg_temp.saying('old') || ' ' || pg_temp.saying('new') || ' ' || pg_temp.saying('running') || ' ' || pg_temp.saying('home'), '0 4 4 4', 'and gone, no other''s');
select is((select texts_removed_at from public.sessions where id = tests.id('old')), '2026-03-11 12:00:01+00', 'which the session says');
select is(pg_temp.sweep('2026-03-11 12:00:01+00'), 0, 'it is not looked at again');
select is((select format('%s %s %s', count(*), sum(l.total_tokens), string_agg(l.safety_level::text, ' ' order by l.sequence_number)) from public.session_analysis_logs l where l.session_id = tests.id('old')),
  '4 60 red yellow green green', 'levels and figures stay');
select is((public.session_safety_distribution(tests.id('old'))).total_count, 4::bigint, 'and what is counted of them');
select is(pg_temp.sweep('2126-01-01'), 2, 'what runs is not old, however long it does');
select is(pg_temp.saying('running'), 4::bigint, 'so it keeps its texts');

-- In pieces.
select tests.write_session('long', 'author', 'team', levels => repeat('r', 1200), ended_at => '2026-03-01');
select is(private.remove_next_old_session_texts('2026-06-01'), true, 'a long one takes several pieces');
select is(pg_temp.saying('long'), 700::bigint, 'of 500 each');
select is(pg_temp.sweep('2026-06-01'), 2, 'two more');
select is(pg_temp.saying('long'), 0::bigint, 'until all are gone');
select is((select w.place from private.due_work w where w.piece = 'remove_next_old_session_texts') > 0, true, 'the scheduled job does it');
update public.workspaces set transcript_retention_days = null, analysis_retention_days = null where id = tests.id('team');
select tests.write_session('kept', 'author', 'team', transcript => 'words', ended_at => '2020-01-01');
select is(pg_temp.sweep('2126-01-01'), 0, 'without a setting all is kept again');

select * from finish();
rollback;
