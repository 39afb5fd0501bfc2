-- Idempotency: the one store of idempotency keys and of what was answered under them.
-- A scope finds earlier_answer under a lock that all requests with the key wait for (the wallet's; features have one of
-- their own), and calls store_answer in the same transaction. Without a key both do nothing.

create table private.idempotent_requests (
  workspace_id uuid not null references public.workspaces on delete cascade,
  scope text not null,
  idempotency_key text not null,
  user_id uuid references public.users on delete cascade,
  api_key_id uuid,
  request jsonb not null,
  request_id text,
  is_running boolean not null default false,
  answer jsonb,
  expires_at timestamptz,
  primary key (workspace_id, scope, idempotency_key)
);
comment on table private.idempotent_requests is
  'Requests that were made under an idempotency key. A key belongs to its workspace and scope. It lives: credits and '
  'features for as long as the workspace; ai_calls for 24 hours; video_jobs for as long as the job; the last two no '
  'longer than the account that asked. Keys that begin with basemeter: are our own.';
comment on column private.idempotent_requests.user_id is
  'Whose the answer is, together with api_key_id: this person''s, with this key or signed in. None: the backend''s.';
comment on column private.idempotent_requests.request is 'What was asked for, or its hash.';
comment on column private.idempotent_requests.answer is
  'What a retry gets; null while the request runs, and where the answer was not kept.';
comment on column private.idempotent_requests.expires_at is 'When the key is free again; null: see the scope.';
create index idempotent_requests_user_id_idx on private.idempotent_requests (user_id) where user_id is not null;
create index idempotent_requests_expires_at_idx on private.idempotent_requests (expires_at)
  where expires_at is not null;

-- What a retry gets: the answer kept under its key; or idempotency_conflict, raised or as a refusal; null for a new
-- request and without a key.
create function private.earlier_answer(
  wanted_workspace uuid, scope text, key text, request jsonb, user_id uuid default null, api_key_id uuid default null,
  is_conflict_raised boolean default true
) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  earlier private.idempotent_requests;
  conflict text;
begin
  if key is null then
    return null;
  end if;
  select * into earlier from private.idempotent_requests r
  where r.workspace_id = wanted_workspace and r.scope = earlier_answer.scope and r.idempotency_key = key
    and (r.is_running or r.expires_at is null or r.expires_at > clock_timestamp());
  if not found then
    return null;
  end if;
  conflict := case
    when (earlier.user_id, earlier.api_key_id) is distinct from (earlier_answer.user_id, earlier_answer.api_key_id)
      then 'Somebody else has used this Idempotency-Key in this workspace.'
    when earlier.request <> earlier_answer.request then 'This Idempotency-Key was used for another request, %s.'
    when earlier.is_running then 'The first request with this Idempotency-Key, %s, is still running.'
    when earlier.answer is null
      then 'The request with this Idempotency-Key, %s, has been answered, and its answer was not kept.'
  end;
  if conflict is null then
    return earlier.answer;
  elsif is_conflict_raised then
    perform private.raise_error('idempotency_conflict',
      format('The idempotency key %s was used in this workspace for another request.', to_json(key)),
      'Use a new key for a new request, and the same parameters for a retry.');
  end if;
  return jsonb_build_object('status', private.error_status('idempotency_conflict'), 'code', 'idempotency_conflict',
    'message', format(conflict, earlier.request_id), 'param', 'idempotency-key',
    'retry_after', case when conflict like '%still running.' then 1 end);
end;
$$;

-- Stores a request and its answer under its key, if there is one; null is the answer of what still runs.
create function private.store_answer(
  wanted_workspace uuid, scope text, key text, request jsonb, answer anyelement, user_id uuid default null,
  api_key_id uuid default null, request_id text default null, is_running boolean default false,
  expires_at timestamptz default null
) returns void language plpgsql set search_path = '' as $$
begin
  if store_answer.expires_at is not null then -- an earlier one that has expired may not have been deleted yet
    delete from private.idempotent_requests r
    where r.workspace_id = wanted_workspace and r.scope = store_answer.scope and r.idempotency_key = key
      and not r.is_running and r.expires_at <= clock_timestamp();
  end if;
  if key is not null then
    insert into private.idempotent_requests (workspace_id, scope, idempotency_key, user_id, api_key_id, request,
      request_id, is_running, answer, expires_at)
    values (wanted_workspace, store_answer.scope, key, store_answer.user_id, store_answer.api_key_id,
      store_answer.request, store_answer.request_id, store_answer.is_running, to_jsonb(store_answer.answer),
      store_answer.expires_at);
  end if;
end;
$$;

-- Deletes expired keys, a thousand at a time; false when there are none.
create function private.forget_expired_requests(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  delete from private.idempotent_requests r where (r.workspace_id, r.scope, r.idempotency_key) in (
    select o.workspace_id, o.scope, o.idempotency_key from private.idempotent_requests o
    where o.expires_at < forget_expired_requests.at and not o.is_running
    limit 1000 for update skip locked
  );
  return found;
end;
$$;
insert into private.due_work (piece, place) values ('forget_expired_requests', 80);
