-- How long what was said in sessions is kept: the transcript, and what analyses say. Figures stay with the workspace.

alter table public.workspaces
  add column transcript_retention_days integer
    constraint transcript_retention_is_in_days check (transcript_retention_days between 0 and 36500),
  add column analysis_retention_days integer
    constraint analysis_retention_is_in_days check (analysis_retention_days between 0 and 36500);
comment on column public.workspaces.transcript_retention_days is
  'Days after a session''s end after which its transcript is removed for good; 0: none is kept; null: never.';
comment on column public.workspaces.analysis_retention_days is
  'Days after a session''s end after which its analyses lose their texts and citations for good; null: never.';
grant update (transcript_retention_days, analysis_retention_days) on public.workspaces to authenticated, service_role;
create index workspaces_transcript_retention_days_idx on public.workspaces (transcript_retention_days)
  where transcript_retention_days is not null;
create index workspaces_analysis_retention_days_idx on public.workspaces (analysis_retention_days)
  where analysis_retention_days is not null;
create trigger workspaces_audit_session_retention
  after update of transcript_retention_days, analysis_retention_days on public.workspaces
  for each row execute function private.audit_change('id', 'id', 'transcript_retention_days analysis_retention_days');

alter table public.sessions add column texts_removed_at timestamptz;
comment on column public.sessions.texts_removed_at is
  'When its analyses lost their texts and citations, by the workspace''s retention.';
create index sessions_with_texts_idx on public.sessions (workspace_id, ended_at)
  where ended_at is not null and texts_removed_at is null;

-- Keeps a transcript from being stored where the workspace keeps none.
create function private.keep_no_transcript() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if (select w.transcript_retention_days from public.workspaces w where w.id = new.workspace_id) = 0 then
    return null;
  end if;
  return new;
end;
$$;
create trigger session_transcripts_keep_none before insert on public.session_transcripts
  for each row execute function private.keep_no_transcript();

-- Removes for good what is older than its workspace keeps it: a hundred transcripts of a workspace, or the texts of 500
-- analyses of a session. False where nothing is.
create function private.remove_next_old_session_texts(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  candidate record;
  emptied integer;
begin
  for candidate in
    (select w.id as workspace_id, null::uuid as session_id, x.before
      from public.workspaces w
      cross join lateral (select private.later(at, make_interval(days => -w.transcript_retention_days)) as before) x
      where w.transcript_retention_days is not null and exists (select from public.session_transcripts t
        where t.workspace_id = w.id and t.created_at < x.before)
      limit 100)
    union all
    (select w.id, o.id, null
      from public.workspaces w
      cross join lateral (
        select s.id from public.sessions s
        where s.workspace_id = w.id and s.texts_removed_at is null
          and s.ended_at < private.later(at, make_interval(days => -w.analysis_retention_days))
        order by s.ended_at limit 1
      ) o where w.analysis_retention_days is not null limit 100)
  loop
    perform from public.credit_wallets w where w.workspace_id = candidate.workspace_id for no key update skip locked;
    continue when not found;
    if candidate.session_id is null then
      delete from public.session_transcripts t where t.session_id in (
        select o.session_id from public.session_transcripts o
        where o.workspace_id = candidate.workspace_id and o.created_at < candidate.before
        order by o.created_at limit 100);
    else
      update public.session_analysis_logs l
      set display_text = '', action_suggestion = null, rag_documents = '[]', rag_sources = '[]'
      where l.session_id = candidate.session_id and l.sequence_number in (
        select o.sequence_number from public.session_analysis_logs o
        where o.session_id = candidate.session_id and (o.display_text, o.action_suggestion, o.rag_documents,
          o.rag_sources) is distinct from ('', null, '[]'::jsonb, '[]'::jsonb)
        order by o.sequence_number limit 500);
      get diagnostics emptied = row_count;
      update public.sessions s set texts_removed_at = at where s.id = candidate.session_id and emptied < 500;
    end if;
    return true;
  end loop;
  return false;
end;
$$;
insert into private.due_work (piece, place) values ('remove_next_old_session_texts', 210);
