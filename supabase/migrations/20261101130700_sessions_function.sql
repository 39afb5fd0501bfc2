-- What function sessions asks before it has a segment analysed.

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('session_model', '""', 'text', null, null, true,
    'The model that analyses segments of sessions where a request names none. Empty: each request names one.'),
  ('session_instructions', '""', 'text', null, null, false,
    'What a model is told besides the general instructions: what to look for, and what is yellow or red.');

create function public.session_context(
  session_id uuid, user_id uuid, api_key_hash text default null, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare
  person uuid := case when api_key_hash is null then session_context.user_id
    else (private.api_key_of(api_key_hash, at)).user_id end;
begin
  perform private.require_valid(at);
  return jsonb_build_object('model', private.config('session_model'),
    'instructions', private.config('session_instructions'))
    || coalesce((
      select jsonb_build_object('workspace_id', s.workspace_id) from public.sessions s
      where s.id = session_context.session_id and s.user_id = person), '{}');
end;
$$;
comment on function public.session_context is
  'What a segment of a session is analysed with: model, instructions, and of the caller''s own session its workspace. '
  'For functions: what may be done, the next rpc says.';
grant execute on function public.session_context to service_role, basemeter_functions;
