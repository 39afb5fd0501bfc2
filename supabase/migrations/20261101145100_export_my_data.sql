-- Everything about a person as JSON, page by page: a page is bounded in rows, in bytes and in the rows it looks at, so
-- that an account of any size is exported in bounded memory and time.

create type private.export_section as (
  place integer, name text, relation text, owner text, keys text[], whose text, hidden text[]
);
comment on type private.export_section is
  'Rows of a table or view whose owner column is the person, in the order of keys that an index has. whose: all of '
  'them (person); or those in a team that they are in (team) or manage (managed), without the hidden columns.';

-- What an export holds, in its order. A test compares it with the catalog.
create function private.export_sections() returns setof private.export_section
language sql immutable set search_path = '' as $$
  select (row_number() over ())::integer, s.name, s.relation, s.owner, s.keys::text[], s.whose,
    case when s.name = 'credit_transactions' and s.whose = 'team' then array['balance_after', 'grant_changes']
      else '{}' end
  from (values
    ('users', 'public.users', 'id', '{id}', 'person'),
    ('workspaces', 'public.workspaces', 'id', '{id}', 'person'),
    ('workspace_members', 'public.workspace_members', 'user_id', '{workspace_id}', 'person'),
    ('user_sessions', 'public.user_sessions', 'user_id', '{id}', 'person'),
    ('user_email_aliases', 'public.user_email_aliases', 'user_id', '{id}', 'person'),
    ('notifications', 'public.notifications', 'workspace_id', '{created_at,id}', 'person'),
    ('notifications', 'public.notifications', 'user_id', '{id}', 'team'),
    ('credit_wallets', 'public.credit_wallets', 'workspace_id', '{workspace_id}', 'person'),
    ('credit_grants', 'public.credit_grants', 'workspace_id', '{created_at,id}', 'person'),
    ('credit_holds', 'public.credit_holds', 'workspace_id', '{created_at,id}', 'person'),
    ('credit_transactions', 'public.credit_transactions', 'workspace_id', '{created_at,id}', 'person'),
    ('credit_transactions', 'public.credit_transactions', 'user_id', '{created_at,id}', 'team'),
    ('spending_limits', 'public.spending_limits', 'workspace_id', '{spender_id}', 'person'),
    ('spending_limits', 'public.spending_limits', 'spender_id', '{workspace_id}', 'team'),
    ('api_keys', 'public.api_keys', 'workspace_id', '{created_at,id}', 'person'),
    ('api_keys', 'public.api_keys', 'user_id', '{id}', 'managed'),
    ('ai_usage_logs', 'public.ai_usage_logs', 'workspace_id', '{created_at,id}', 'person'),
    ('ai_usage_logs', 'public.ai_usage_logs', 'user_id', '{created_at,id}', 'team'),
    ('ai_usage_statistics', 'public.ai_usage_statistics', 'workspace_id', '{id}', 'person'),
    ('ai_usage_statistics', 'public.ai_usage_statistics', 'user_id', '{id}', 'team'),
    ('feature_usage', 'public.feature_usage', 'workspace_id', '{feature_code,period_start}', 'person'),
    ('workspace_features', 'public.workspace_features', 'workspace_id', '{feature_code}', 'person'),
    -- Those of AI calls, which the view adds, are the calls again.
    ('usage_records', 'private.usage_records', 'workspace_id', '{created_at,id}', 'person'),
    ('usage_records', 'private.usage_records', 'user_id', '{created_at,id}', 'team'),
    ('audit_logs', 'public.audit_logs', 'workspace_id', '{id}', 'person'),
    ('audit_logs', 'public.audit_logs', 'actor_id', '{id}', 'managed'),
    ('payment_customers', 'public.payment_customers', 'workspace_id', '{platform,customer_id}', 'person'),
    ('user_subscriptions', 'public.user_subscriptions', 'workspace_id', '{id}', 'person'),
    ('user_subscriptions', 'public.user_subscriptions', 'user_id', '{id}', 'managed'),
    ('subscription_history', 'public.subscription_history', 'workspace_id', '{occurred_at,id}', 'person'),
    ('payments', 'public.payments', 'workspace_id', '{created_at,id}', 'person'),
    ('payments', 'public.payments', 'user_id', '{id}', 'managed'),
    ('auto_top_ups', 'public.auto_top_ups', 'workspace_id', '{workspace_id}', 'person'),
    ('auto_top_ups', 'public.auto_top_ups', 'user_id', '{workspace_id}', 'managed'),
    ('credit_alerts', 'public.credit_alerts', 'workspace_id', '{id}', 'person'),
    ('video_jobs', 'public.video_jobs', 'workspace_id', '{created_at,id}', 'person'),
    ('video_jobs', 'public.video_jobs', 'user_id', '{id}', 'team'),
    ('rag_documents', 'public.rag_documents', 'workspace_id', '{source}', 'person'),
    ('rag_documents', 'public.rag_documents', 'user_id', '{id}', 'team'),
    ('conversations', 'public.conversations', 'user_id', '{id}', 'person'),
    ('messages', 'public.messages', 'conversation_id', '{conversation_id,created_at,sequence_number}', 'person'),
    ('attachments', 'public.attachments', 'conversation_id', '{conversation_id,id}', 'person'),
    ('sessions', 'public.sessions', 'user_id', '{started_at,id}', 'person'),
    ('session_usage', 'public.session_usage', 'user_id', '{started_at,session_id}', 'person'),
    ('session_transcripts', 'public.session_transcripts', 'session_id', '{session_id}', 'person'),
    ('session_analysis_logs', 'public.session_analysis_logs', 'session_id', '{session_id,sequence_number}', 'person')
  ) s (name, relation, owner, keys, whose)
$$;

-- The query for the next rows of a section. Parameters: the person, the key of the last row (null: none), the teams
-- whose rows are theirs to see. A row that is not theirs is null, and its key is there to go on from.
create function private.export_query(section private.export_section, is_begun boolean) returns text
language plpgsql stable set search_path = '' as $$
declare
  keys text := (select string_agg(format('t.%I', k.key), ', ' order by k.place)
    from unnest(section.keys) with ordinality k (key, place));
  last_key text := (
    select string_agg(format('($2 ->> %s)::%s', k.place - 1, format_type(a.atttypid, a.atttypmod)), ', '
      order by k.place)
    from unnest(section.keys) with ordinality k (key, place)
    join pg_catalog.pg_attribute a on a.attrelid = section.relation::regclass and a.attname = k.key);
begin
  if section.name = 'messages' then
    -- Conversation by conversation: an index has each one's messages in order.
    return format($query$
      select to_jsonb(m) as row_data, jsonb_build_array(c.id, m.created_at, m.sequence_number) as key
      from (select c.id from public.conversations c
        where c.user_id = $1 and c.deleted_at is null %s order by c.id) c
      cross join lateral (select m.* from public.messages m
        where m.conversation_id = c.id and m.deleted_at is null %s
        order by m.created_at, m.sequence_number limit 1000) m
      order by c.id, m.created_at, m.sequence_number limit 1000$query$,
      case when is_begun then 'and c.id >= ($2 ->> 0)::uuid' end,
      case when is_begun then 'and (m.created_at, m.sequence_number) > (case when c.id = ($2 ->> 0)::uuid
        then ($2 ->> 1)::timestamptz else ''-infinity'' end, case when c.id = ($2 ->> 0)::uuid
        then ($2 ->> 2)::bigint else 0 end)' end);
  elsif section.owner in ('conversation_id', 'session_id') then -- likewise, of conversations and sessions
    return format($query$
      select to_jsonb(t) as row_data, jsonb_build_array(%1$s) as key
      from (select p.id from %2$s p where p.user_id = $1 %3$s order by p.id) p
      cross join lateral (select t.* from %4$s t where t.%5$I = p.id %6$s order by %1$s limit 1000) t
      order by %1$s limit 1000$query$, keys,
      case section.owner when 'session_id' then 'public.sessions' else 'public.conversations' end,
      concat(case section.owner when 'conversation_id' then 'and p.deleted_at is null' end,
        case when is_begun then ' and p.id >= ($2 ->> 0)::uuid' end),
      section.relation, section.owner, case when is_begun then format('and (%s) > (%s)', keys, last_key) end);
  end if;
  return format(
    'select case when %s then to_jsonb(t) - $4 end as row_data, jsonb_build_array(%s) as key
    from %s t where t.%I = $1 %s order by %s limit 1000',
    case when section.whose in ('team', 'managed') then 't.workspace_id = any ($3)'
      when section.name = 'conversations' then 't.deleted_at is null' else 'true' end,
    keys, section.relation, section.owner,
    case when is_begun then format('and (%s) > (%s)', keys, last_key) end, keys);
end;
$$;

create type public.exported_row as (table_name text, row_data jsonb, cursor jsonb);
comment on type public.exported_row is
  'A row of an export, and where the export goes on after it. row_data is null where a page only looked on.';

-- The next page of the caller's export.
create function private.export_my_data(after jsonb) returns setof public.exported_row
language plpgsql stable security definer set search_path = '' as $$
declare
  person uuid := private.caller_id();
  teams uuid[] := array(select private.my_workspace_ids() except select person);
  managed uuid[] := array(select private.my_managed_workspace_ids() except select person);
  key jsonb := after -> 'key';
  section private.export_section;
  found_data jsonb;
  next_row public.exported_row;
  looked_at integer;
  seen integer := 0;
  given integer := 0;
  size bigint := 0;
begin
  if person is null then
    perform private.raise_error('not_authenticated', 'Sign in first.');
  elsif after is not null and (jsonb_typeof(after) = 'object' and jsonb_typeof(after -> 'section') = 'number'
    and jsonb_typeof(key) = 'array') is not true then
    perform private.raise_error('invalid_request', 'after must be the cursor of the last row of the page before.');
  end if;
  for section in
    select s.* from private.export_sections() s where s.place >= coalesce((after ->> 'section')::numeric, 0)
    order by s.place
  loop
    if section.place is distinct from (after ->> 'section')::numeric then
      key := null;
    end if;
    loop
      looked_at := 0;
      for found_data, key in execute private.export_query(section, key is not null)
        using person, key, case when section.whose = 'managed' then managed else teams end, section.hidden
      loop
        looked_at := looked_at + 1;
        seen := seen + 1;
        if found_data is not null or seen >= 20000 then
          next_row := row(section.name, found_data,
            jsonb_build_object('section', section.place, 'key', key))::public.exported_row;
          return next next_row;
          given := given + 1;
          size := size + coalesce(pg_column_size(found_data), 0);
          if given >= 1000 or size >= 4000000 or seen >= 20000 then
            return;
          end if;
        end if;
      end loop;
      exit when looked_at < 1000;
    end loop;
  end loop;
end;
$$;
grant execute on function private.export_my_data to authenticated;

create function public.export_my_data(after jsonb default null) returns setof public.exported_row
language sql stable set search_path = '' as $$ select * from private.export_my_data(after) $$;
comment on function public.export_my_data is
  'Everything about the caller, a page of at most 1,000 rows or 4 MB at a time: go on with the last row''s cursor as '
  'after until a page is empty.';
grant execute on function public.export_my_data to authenticated;
