-- Teams: workspaces of several people. Their wallet, keys and payments are those of any workspace.
-- Everything done to a team's members runs under the lock of its wallet, and so one after the other.

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('free_teams_per_user', '3', 'integer', 0, 1000, true,
    'Teams on the free plan that a person may own; one that was deleted counts for the month it was made in.'),
  ('invitations_per_day', '100', 'integer', 0, 100000, false,
    'Invitations that a person may send in 24 hours, into whatever teams.'),
  ('mail_hook_url', '""', 'text', null, null, false,
    'Where mails are handed over as JSON by POST (needs pg_net): { kind, to, data }. None: '
    'they are written to the database''s log.');

create table public.workspace_invitations (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  email text not null constraint email_is_well_formed check (email ~ '^[^@\s]+@[^@\s]+$' and length(email) <= 320),
  role public.workspace_role not null constraint nobody_is_invited_as_owner check (role <> 'owner'),
  user_id uuid references public.users on delete set null,
  expires_at timestamptz not null,
  accepted_at timestamptz,
  revoked_at timestamptz,
  sent_at timestamptz not null default clock_timestamp(),
  created_at timestamptz not null default clock_timestamp(),
  constraint accepted_or_revoked check (accepted_at is null or revoked_at is null)
);
comment on table public.workspace_invitations is
  'Invitations into a team. Only the account that has confirmed the address can accept one.';
comment on column public.workspace_invitations.user_id is 'Who invited.';
create unique index workspace_invitations_open_email_idx on public.workspace_invitations (workspace_id, lower(email))
  where accepted_at is null and revoked_at is null;
create index workspace_invitations_workspace_id_idx on public.workspace_invitations (workspace_id, created_at);
create index workspace_invitations_user_id_idx on public.workspace_invitations (user_id);

create table private.invitation_hashes (
  token_hash bytea primary key,
  invitation_id uuid not null references public.workspace_invitations on delete cascade
);
comment on table private.invitation_hashes is
  'SHA-256 of the tokens of invitations; the tokens themselves are kept nowhere.';
create index invitation_hashes_invitation_id_idx on private.invitation_hashes (invitation_id);

-- They outlive the teams: else whoever deletes a team and makes another would start anew.
create table private.invitation_mails (
  id bigint generated always as identity primary key,
  user_id uuid not null references public.users on delete cascade,
  address_hash bytea not null,
  sent_at timestamptz not null default clock_timestamp()
);
comment on table private.invitation_mails is
  'Invitations that a person has sent in the last day, to count them; addresses as SHA-256.';
create index invitation_mails_user_id_sent_at_idx on private.invitation_mails (user_id, sent_at);

create table private.deleted_free_teams (
  user_id uuid not null references public.users on delete cascade,
  workspace_id uuid not null,
  made_at timestamptz not null,
  primary key (user_id, workspace_id)
);
comment on table private.deleted_free_teams is
  'Teams on the free plan that were deleted in the month they were made in, by owner: what the plan allows a month '
  'does not begin anew with another team.';
comment on column private.deleted_free_teams.workspace_id is 'No foreign key: it is gone.';

-- Hands a mail over: { kind, to, data }. Kind workspace_invitation has data { invitation_id, workspace_id,
-- workspace_name, role, token, expires_at }.
create function private.send_mail(kind text, recipient text, data jsonb) returns void
language plpgsql set search_path = '' as $$
declare
  payload jsonb := jsonb_build_object('kind', kind, 'to', recipient, 'data', data);
  url text := private.config('mail_hook_url') #>> '{}';
begin
  if coalesce(url, '') = '' then
    raise log 'mail %: % to %', kind, data - 'token', recipient;
  elsif exists (select from pg_catalog.pg_extension e where e.extname = 'pg_net') then
    -- not there where the lint runs
    execute format('select %I.http_post(url => $1, body => $2)', 'net') using url, payload;
  else
    raise warning 'mail_hook_url is set and pg_net is not installed: % to % was not sent', kind, recipient;
  end if;
end;
$$;

-- Locks a team for a change by a caller who is at least of this role, and says what they are.
create function private.lock_team(wanted_workspace uuid, least_role public.workspace_role) returns public.workspace_role
language plpgsql set search_path = '' as $$
declare
  role public.workspace_role := private.lock_workspace(wanted_workspace, least_role);
begin
  if wanted_workspace = (select w.personal_user_id from public.workspaces w where w.id = wanted_workspace) then
    perform private.raise_error('invalid_state', 'This is a personal workspace.', 'Make a team with create_workspace.');
  end if;
  return role;
end;
$$;

-- Whether a team has an owner besides this one.
create function private.owners_besides(wanted_workspace uuid, account_id uuid) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (
    select from public.workspace_members m
    where m.workspace_id = wanted_workspace and m.role = 'owner' and m.user_id <> account_id
  );
end;
$$;

-- Whether nobody pays for a team.
create function private.is_free_team(wanted_workspace uuid) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return not exists ( -- a trial is no payment
    select from public.user_subscriptions s
    where s.workspace_id = wanted_workspace and s.is_live and s.plan_status <> 'trialing'
  );
end;
$$;

-- Refuses one free team more for who owns as many as a person may. Called under the lock of their own wallet.
create function private.require_room_for_team(account_id uuid) returns void language plpgsql set search_path = '' as $$
declare
  allowed integer := private.config_numeric('free_teams_per_user', 3)::integer;
begin
  delete from private.deleted_free_teams d
  where d.user_id = account_id and d.made_at < date_trunc('month', clock_timestamp(), 'UTC');
  if allowed <= (
    select count(*) from public.workspace_members m
    where m.user_id = account_id and m.role = 'owner' and m.workspace_id <> account_id
      and private.is_free_team(m.workspace_id)
  ) + (select count(*) from private.deleted_free_teams d where d.user_id = account_id) then
    perform private.raise_error('limit_reached', format('A person may own %s teams on the free plan.', allowed),
      'Subscribe one of them to a plan. One that is deleted counts for the month it was made in.');
  end if;
end;
$$;

-- Makes a team of the caller's.
create function private.create_my_workspace(wanted_name text, wanted_slug text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  account_id uuid := private.my_account();
  made public.workspaces;
begin
  if coalesce(wanted_name, '') !~ '\S' or length(wanted_name) > 200 then
    perform private.raise_error('invalid_request', 'name must be a text of 1 to 200 characters.');
  end if;
  if wanted_slug !~ '^[a-z0-9](-?[a-z0-9])+$' or length(wanted_slug) > 63 then
    perform private.raise_error('invalid_request',
      'slug must be 2 to 63 lower case letters, digits and single hyphens between them.');
  elsif exists (select from public.workspaces w where w.slug = wanted_slug) then
    perform private.raise_error('invalid_state', format('The slug %s is taken.', wanted_slug));
  end if;
  -- counts one after the other
  perform from public.credit_wallets w where w.workspace_id = account_id for no key update;
  perform private.require_room_for_team(account_id);
  insert into public.workspaces (name, slug) values (wanted_name, wanted_slug) returning * into made;
  insert into public.workspace_members (workspace_id, user_id, role) values (made.id, account_id, 'owner');
  return jsonb_build_object('id', made.id, 'name', made.name, 'slug', made.slug);
exception when unique_violation then
  perform private.raise_error('invalid_state', format('The slug %s is taken.', wanted_slug));
  return null;
end;
$$;
grant execute on function private.create_my_workspace(text, text) to authenticated;

-- Deletes a team of the caller's, with all that is in it.
create function private.delete_my_workspace(wanted_workspace uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if private.role_in(wanted_workspace, auth.uid()) = 'owner' then -- nobody else locks what is not theirs
    perform private.share_settings();
    perform from public.credit_wallets w where w.workspace_id = wanted_workspace for update; -- nothing is written there
  end if;
  perform private.lock_team(wanted_workspace, 'owner');
  insert into private.deleted_free_teams (user_id, workspace_id, made_at)
  select m.user_id, w.id, w.created_at
  from public.workspaces w join public.workspace_members m on m.workspace_id = w.id and m.role = 'owner'
  where w.id = wanted_workspace and w.created_at >= date_trunc('month', clock_timestamp(), 'UTC')
    and private.is_free_team(w.id);
  delete from public.workspaces w where w.id = wanted_workspace;
end;
$$;
grant execute on function private.delete_my_workspace(uuid) to authenticated;

-- Ends what someone holds who manages a team no more: secrets of its keys that they were shown, and invitations of
-- theirs.
create function private.end_management(wanted_workspace uuid, account_id uuid) returns void
language plpgsql set search_path = '' as $$
begin
  -- A secret that was shown to them, whoever made the key; and whom they have invited.
  delete from private.api_key_hashes h using public.api_keys k
  where k.id = h.api_key_id and k.workspace_id = wanted_workspace and h.made_by = account_id;
  delete from private.invitation_hashes h using public.workspace_invitations i
  where i.id = h.invitation_id and i.workspace_id = wanted_workspace and i.user_id = account_id
    and i.accepted_at is null;
  update public.workspace_invitations i set revoked_at = clock_timestamp()
  where i.workspace_id = wanted_workspace and i.user_id = account_id and i.accepted_at is null and i.revoked_at is null;
end;
$$;

-- Takes someone out of a team; the keys they made there are revoked.
create function private.end_membership(wanted_workspace uuid, account_id uuid) returns void
language plpgsql set search_path = '' as $$
begin
  perform private.end_management(wanted_workspace, account_id);
  delete from private.api_key_hashes h using public.api_keys k
  where k.id = h.api_key_id and k.workspace_id = wanted_workspace and k.user_id = account_id;
  update public.api_keys k set revoked_at = clock_timestamp()
  where k.workspace_id = wanted_workspace and k.user_id = account_id and k.revoked_at is null;
  delete from public.workspace_members m where m.workspace_id = wanted_workspace and m.user_id = account_id;
end;
$$;

-- Takes the caller out of a team.
create function private.leave_my_workspace(wanted_workspace uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  account_id uuid := private.my_account();
  role public.workspace_role := private.lock_team(wanted_workspace, 'member');
begin
  -- A statement of its own: one that began before the lock would look at owners as they were then.
  if role = 'owner' and not private.owners_besides(wanted_workspace, account_id) then
    perform private.raise_error('invalid_state', 'The last owner cannot leave.',
      'Transfer the ownership, or delete the workspace.');
  end if;
  perform private.end_membership(wanted_workspace, account_id);
end;
$$;
grant execute on function private.leave_my_workspace(uuid) to authenticated;

-- Takes a member out of a team that the caller manages.
create function private.remove_member_of_mine(wanted_workspace uuid, member_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  role public.workspace_role := private.lock_team(wanted_workspace, 'admin');
begin
  if private.require_member(wanted_workspace, member_id) = 'owner' then
    if role <> 'owner' then
      perform private.raise_error('forbidden', 'Only owners remove an owner.');
    elsif not private.owners_besides(wanted_workspace, member_id) then
      perform private.raise_error('invalid_state', 'The last owner cannot be removed.');
    end if;
  end if;
  perform private.end_membership(wanted_workspace, member_id);
end;
$$;
grant execute on function private.remove_member_of_mine(uuid, uuid) to authenticated;

-- Locks a team and the wallet of who is to own it, under which their free teams are counted. Before lock_team.
create function private.lock_for_new_owner(wanted_workspace uuid, member_id uuid) returns void
language plpgsql set search_path = '' as $$
begin
  -- The person's wallet is not for others to lock: whoever may not make an owner is refused by lock_team, which looks
  -- again.
  if private.role_in(wanted_workspace, auth.uid()) = 'owner'
    and private.role_in(wanted_workspace, member_id) is not null then
    perform private.share_settings();
    perform from public.credit_wallets w where w.workspace_id in (wanted_workspace, member_id)
    order by w.workspace_id for no key update; -- as a deletion of the account takes them
  end if;
end;
$$;

-- Makes a member an owner, if they may own a free team more or it is none.
create function private.make_owner(wanted_workspace uuid, member_id uuid) returns void
language plpgsql set search_path = '' as $$
begin
  if private.is_free_team(wanted_workspace) then
    perform private.require_room_for_team(member_id);
  end if;
  update public.workspace_members m set role = 'owner' where m.workspace_id = wanted_workspace
    and m.user_id = member_id;
end;
$$;

-- Gives a member of a team that the caller manages another role.
create function private.set_role_in_mine(
  wanted_workspace uuid, member_id uuid, new_role public.workspace_role
) returns void language plpgsql security definer set search_path = '' as $$
declare
  role public.workspace_role;
  old_role public.workspace_role;
begin
  if new_role = 'owner' then
    perform private.lock_for_new_owner(wanted_workspace, member_id);
  end if;
  role := private.lock_team(wanted_workspace, 'admin');
  old_role := private.require_member(wanted_workspace, member_id);
  if new_role is null then
    perform private.raise_error('invalid_request', 'role must be owner, admin or member.');
  elsif role <> 'owner' and 'owner' in (new_role, old_role) then
    perform private.raise_error('forbidden', 'Only owners make and unmake an owner.');
  elsif old_role = 'owner' and new_role <> 'owner' and not private.owners_besides(wanted_workspace, member_id) then
    perform private.raise_error('invalid_state', 'The last owner stays one.', 'Make another owner first.');
  end if;
  if new_role = 'owner' and old_role <> 'owner' then
    perform private.make_owner(wanted_workspace, member_id);
  else
    update public.workspace_members m set role = new_role where m.workspace_id = wanted_workspace
      and m.user_id = member_id;
  end if;
  if new_role = 'member' then
    perform private.end_management(wanted_workspace, member_id);
  end if;
end;
$$;
grant execute on function private.set_role_in_mine(uuid, uuid, public.workspace_role) to authenticated;

-- Makes a member owner in the caller's place, who stays as an admin.
create function private.transfer_my_ownership(wanted_workspace uuid, member_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  old_role public.workspace_role;
begin
  perform private.lock_for_new_owner(wanted_workspace, member_id);
  perform private.lock_team(wanted_workspace, 'owner');
  old_role := private.require_member(wanted_workspace, member_id);
  if member_id <> auth.uid() then
    if old_role <> 'owner' then
      perform private.make_owner(wanted_workspace, member_id);
    end if;
    update public.workspace_members m set role = 'admin' where m.workspace_id = wanted_workspace
      and m.user_id = auth.uid();
  end if;
end;
$$;
grant execute on function private.transfer_my_ownership(uuid, uuid) to authenticated;

-- Before an account goes: its teams pass to their oldest admin, else their oldest member, one whose account is
-- active if there is one; a team with nobody else goes too.
create function private.pass_teams_on() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  team record;
begin
  -- Secrets that they were shown of keys that others made would live on.
  perform private.end_management(m.workspace_id, old.id) from public.workspace_members m
  where m.user_id = old.id and m.workspace_id <> old.id;
  for team in
    select m.workspace_id, (
        select n.user_id from public.workspace_members n join public.users u on u.id = n.user_id
        where n.workspace_id = m.workspace_id and n.user_id <> old.id
        order by private.is_admitted(u) desc, n.role, n.created_at, n.user_id limit 1
      ) as heir_id
    from public.workspace_members m
    where m.user_id = old.id and m.role = 'owner' and m.workspace_id <> old.id
      and not private.owners_besides(m.workspace_id, old.id)
  loop
    if team.heir_id is null then
      delete from public.workspaces w where w.id = team.workspace_id;
    else
      update public.workspace_members m set role = 'owner'
      where m.workspace_id = team.workspace_id and m.user_id = team.heir_id;
    end if;
  end loop;
  -- While rows still name the person: what hangs on a membership ends with it.
  delete from public.workspace_members m where m.user_id = old.id and m.workspace_id <> old.id;
  return old;
end;
$$;
-- After users_lock_wallets: triggers of one table fire in the order of their names.
create or replace trigger users_pass_teams_on before delete on auth.users
  for each row execute function private.pass_teams_on();

-- Invitations ---------------------------------------------------------------------------------------------------------

-- Counts a mail that somebody is about to have sent, and refuses one too many: of them all in a day, to an address
-- in a minute.
create function private.count_invitation(account_id uuid, address text) returns void
language plpgsql set search_path = '' as $$
declare
  allowed integer := private.config_numeric('invitations_per_day', 100)::integer;
  hash bytea := sha256(convert_to(lower(address), 'UTF8'));
begin
  perform pg_advisory_xact_lock(hashtextextended('invitations of ' || account_id, 0)); -- counts one after the other
  delete from private.invitation_mails m where m.user_id = account_id
    and m.sent_at <= clock_timestamp() - interval '24 hours';
  if exists (
    select from private.invitation_mails m
    where m.user_id = account_id and m.address_hash = hash and m.sent_at > clock_timestamp() - interval '1 minute'
  ) then
    perform private.raise_error('limit_reached',
      'An address is sent an invitation again after a minute at the soonest.');
  elsif allowed <= (select count(*) from private.invitation_mails m where m.user_id = account_id) then
    perform private.raise_error('limit_reached', format('A person sends at most %s invitations a day.', allowed));
  end if;
  insert into private.invitation_mails (user_id, address_hash) values (account_id, hash);
end;
$$;

-- Gives an invitation a new token, sends it, and shows it this once.
create function private.issue_invitation(invitation public.workspace_invitations) returns jsonb
language plpgsql set search_path = '' as $$
declare
  token text := 'inv-' || encode(extensions.gen_random_bytes(24), 'hex');
begin
  perform private.count_invitation(auth.uid(), invitation.email);
  delete from private.invitation_hashes h where h.invitation_id = invitation.id;
  insert into private.invitation_hashes (token_hash, invitation_id)
  values (extensions.digest(token, 'sha256'), invitation.id);
  perform private.send_mail('workspace_invitation', invitation.email, jsonb_build_object('invitation_id', invitation.id,
    'workspace_id', invitation.workspace_id, 'role', invitation.role, 'token', token, 'expires_at',
      invitation.expires_at,
    'workspace_name', (select w.name from public.workspaces w where w.id = invitation.workspace_id)));
  return jsonb_build_object('id', invitation.id, 'token', token, 'email', invitation.email, 'role', invitation.role,
    'expires_at', invitation.expires_at);
end;
$$;

-- Refuses a mail to whom a team, whoever of it, has just sent one.
create function private.require_a_minute(wanted_workspace uuid, address text) returns void
language plpgsql set search_path = '' as $$
begin
  if exists (
    select from public.workspace_invitations i
    where i.workspace_id = wanted_workspace and lower(i.email) = lower(trim(address))
      and i.sent_at > clock_timestamp() - interval '1 minute'
  ) then
    perform private.raise_error('limit_reached',
      'An address is sent an invitation again after a minute at the soonest.');
  end if;
end;
$$;

-- Invites an address into a team that the caller manages.
create function private.invite_into_mine(
  wanted_workspace uuid, address text, wanted_role public.workspace_role, expires_in interval
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  invitation public.workspace_invitations;
begin
  perform private.lock_team(wanted_workspace, 'admin');
  perform private.require_span(expires_in, '90 days');
  if coalesce(trim(address), '') !~ '^[^@\s]+@[^@\s]+$' or length(address) > 320 then
    perform private.raise_error('invalid_request', 'email must be an e-mail address.');
  elsif coalesce(wanted_role, 'owner') = 'owner' then
    perform private.raise_error('invalid_request', 'role must be admin or member.');
  elsif exists (
    select from public.workspace_members m join public.users u on u.id = m.user_id
    where m.workspace_id = wanted_workspace and lower(u.email) = lower(trim(address))
  ) then
    perform private.raise_error('invalid_state', 'This person is a member already.');
  end if;
  perform private.require_a_minute(wanted_workspace, address);
  -- A new one takes the place of an open one.
  update public.workspace_invitations i set revoked_at = clock_timestamp()
  where i.workspace_id = wanted_workspace and lower(i.email) = lower(trim(address)) and i.accepted_at is null
    and i.revoked_at is null;
  insert into public.workspace_invitations (workspace_id, email, role, user_id, expires_at)
  values (wanted_workspace, trim(address), wanted_role, auth.uid(), private.later(clock_timestamp(), expires_in))
  returning * into invitation;
  return private.issue_invitation(invitation);
end;
$$;
grant execute on function private.invite_into_mine to authenticated;

-- An open invitation into a team that the caller manages, locked.
create function private.lock_invitation(wanted_invitation uuid) returns public.workspace_invitations
language plpgsql set search_path = '' as $$
declare
  invitation public.workspace_invitations;
begin
  select * into invitation from public.workspace_invitations i where i.id = wanted_invitation;
  if private.role_in(invitation.workspace_id, auth.uid()) is null then
    perform private.raise_error('not_found',
      format('There is no invitation %s.', coalesce(wanted_invitation::text, 'null')));
  end if;
  perform private.lock_team(invitation.workspace_id, 'admin');
  select * into invitation from public.workspace_invitations i where i.id = wanted_invitation for update;
  if invitation.accepted_at is not null or invitation.revoked_at is not null then
    perform private.raise_error('invalid_state', 'This invitation has been accepted or revoked.');
  end if;
  return invitation;
end;
$$;

-- Sends an invitation again with a new token; the old one ends.
create function private.resend_invitation_of_mine(wanted_invitation uuid, expires_in interval) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  invitation public.workspace_invitations := private.lock_invitation(wanted_invitation);
begin
  perform private.require_span(expires_in, '90 days');
  perform private.require_a_minute(invitation.workspace_id, invitation.email);
  update public.workspace_invitations i set expires_at = private.later(clock_timestamp(), expires_in),
    sent_at = clock_timestamp()
  where i.id = invitation.id returning * into invitation;
  return private.issue_invitation(invitation);
end;
$$;
grant execute on function private.resend_invitation_of_mine(uuid, interval) to authenticated;

-- Ends an open invitation.
create function private.revoke_invitation_of_mine(wanted_invitation uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  invitation public.workspace_invitations := private.lock_invitation(wanted_invitation);
begin
  delete from private.invitation_hashes h where h.invitation_id = invitation.id;
  update public.workspace_invitations i set revoked_at = clock_timestamp() where i.id = invitation.id;
end;
$$;
grant execute on function private.revoke_invitation_of_mine(uuid) to authenticated;

-- Makes the caller a member by an invitation to a confirmed address of theirs; doing it again changes nothing.
create function private.accept_my_invitation(token text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  account_id uuid := private.my_account();
  invitation public.workspace_invitations;
  seats numeric;
begin
  select i.* into invitation
  from private.invitation_hashes h join public.workspace_invitations i on i.id = h.invitation_id
  where h.token_hash = extensions.digest(accept_my_invitation.token, 'sha256');
  -- Whoever found the token by chance, or was sent it on, is told no more than who made one up.
  if invitation.id is null or not exists (
    select from auth.users a
    where a.id = account_id and lower(a.email) = lower(invitation.email) and a.email_confirmed_at is not null
  ) then
    perform private.raise_error('not_found', 'There is no such invitation for a confirmed address of this account.');
  end if;
  perform from public.credit_wallets w where w.workspace_id = invitation.workspace_id for no key update;
  select * into invitation from public.workspace_invitations i where i.id = invitation.id for update;
  if not found or invitation.revoked_at is not null or invitation.expires_at <= clock_timestamp() then
    perform private.raise_error('invalid_state', 'This invitation was revoked or has expired.');
  elsif invitation.accepted_at is null and private.role_in(invitation.workspace_id, account_id) is null then
    seats := private.limit_in(private.features_of(invitation.workspace_id, clock_timestamp(), 'seats'), 'seats');
    if seats <= (
      select count(*) from public.workspace_members m where m.workspace_id = invitation.workspace_id
    ) then
      perform private.raise_error('limit_reached', format('The plan of this workspace has %s seats.', seats),
        'Ask its owner for a larger plan.');
    end if;
    insert into public.workspace_members (workspace_id, user_id, role)
    values (invitation.workspace_id, account_id, invitation.role);
  elsif invitation.accepted_at is not null and private.role_in(invitation.workspace_id, account_id) is null then
    perform private.raise_error('invalid_state', 'This invitation has been used.');
  end if;
  update public.workspace_invitations i set accepted_at = coalesce(i.accepted_at, clock_timestamp())
    where i.id = invitation.id;
  return jsonb_build_object('workspace_id', invitation.workspace_id,
    'role', private.role_in(invitation.workspace_id, account_id));
end;
$$;
grant execute on function private.accept_my_invitation(text) to authenticated;

-- Limits of members ---------------------------------------------------------------------------------------------------

-- Not columns of workspace_members: who is in a team is for all in it, what they use is not.
-- A new member of a team has no limit, and has used nothing; both end with the membership.
create function private.sync_member_limit() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    insert into public.spending_limits (workspace_id, spender_id, spender_kind, counts_since)
    values (new.workspace_id, new.user_id, 'member', new.created_at);
  else
    delete from public.spending_limits l where l.workspace_id = old.workspace_id and l.spender_id = old.user_id;
  end if;
  return null;
end;
$$;
create trigger workspace_members_make_limit after insert on public.workspace_members
  for each row when (new.workspace_id <> new.user_id) execute function private.sync_member_limit();
create trigger workspace_members_end_limit after delete on public.workspace_members
  for each row when (old.workspace_id <> old.user_id) execute function private.sync_member_limit();

create view public.workspace_member_credits with (security_invoker = true) as
select l.workspace_id, l.spender_id as user_id, l.credit_limit, l.period_credit_limit, l.limit_period, l.credits_used,
  (private.window_at(coalesce(l.limit_period::text, 'month'), l.period_started_at, l.period_credits_used, now())).used
    ::public.credit_amount as period_credits_used,
  (private.window_at(coalesce(l.limit_period::text, 'month'), l.period_started_at, l.period_credits_used, now()))
    .started_at as period_started_at
from public.spending_limits l where l.spender_kind = 'member';
comment on view public.workspace_member_credits is
  'What each member of a team may use of its credits, and has used in all and in the current period.';
grant select on public.workspace_member_credits to authenticated, service_role;

-- Limits what a member of a team that the caller manages may use of its credits.
create function private.set_limit_in_mine(
  wanted_workspace uuid, member_id uuid, new_limit numeric, new_period_limit numeric, new_period public.calendar_period
) returns void language plpgsql security definer set search_path = '' as $$
declare
  role public.workspace_role;
begin
  role := private.lock_team(wanted_workspace, 'admin');
  if private.require_member(wanted_workspace, member_id) = 'owner' and role <> 'owner' then
    perform private.raise_error('forbidden', 'Only owners limit an owner.');
  end if;
  if new_limit is not null then
    perform private.require_valid(amount => new_limit, field => 'credit_limit', zero_allowed => true);
  end if;
  if new_period_limit is not null then
    perform private.require_valid(amount => new_period_limit, field => 'period_credit_limit', zero_allowed => true);
  end if;
  if (new_period_limit is null) <> (new_period is null) then
    perform private.raise_error('invalid_request', 'period_credit_limit and limit_period come together.');
  end if;
  perform private.set_spending_limit(wanted_workspace, member_id, new_limit, new_period_limit, new_period);
end;
$$;
grant execute on function private.set_limit_in_mine to authenticated;

-- Who is in a workspace of the caller's; addresses for who manages it.
create function private.people_of(wanted_workspace uuid)
returns table (user_id uuid, role public.workspace_role, full_name text, avatar_url text, email text,
  joined_at timestamptz)
language plpgsql stable security definer set search_path = ''
as $$
declare
  my_role public.workspace_role := private.role_in(wanted_workspace, private.caller_id());
begin
  if my_role is null then
    perform private.raise_error('not_found',
      format('There is no workspace %s.', coalesce(wanted_workspace::text, 'null')));
  end if;
  return query
    select m.user_id, m.role, u.full_name::text, u.avatar_url::text, case when my_role <> 'member' then u.email
      end, m.created_at
    from public.workspace_members m join public.users u on u.id = m.user_id
    where m.workspace_id = wanted_workspace
    order by m.role, m.created_at, m.user_id;
end;
$$;
grant execute on function private.people_of(uuid) to authenticated;

alter table public.workspace_invitations enable row level security;
create policy "owners and admins can read their workspace's invitations" on public.workspace_invitations
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
grant select on public.workspace_invitations to authenticated, service_role;

create type public.created_workspace as (id uuid, name text, slug text);
comment on type public.created_workspace is 'A team that was made.';
create type public.issued_invitation as (
  id uuid, token text, email text, role public.workspace_role, expires_at timestamptz
);
comment on type public.issued_invitation is 'An invitation with its token, which is shown this once.';
create type public.accepted_invitation as (workspace_id uuid, role public.workspace_role);
comment on type public.accepted_invitation is 'Where somebody has become what.';

create function public.create_workspace(name text, slug text default null) returns public.created_workspace
language sql set search_path = ''
as $$ select jsonb_populate_record(null::public.created_workspace, private.create_my_workspace(name, slug)) $$;
comment on function public.create_workspace is
  'Makes a team, with the caller as its owner: { id, name, slug }. Rename it by an update of workspaces.';
create function public.delete_workspace(workspace_id uuid) returns void
language sql set search_path = '' as $$ select private.delete_my_workspace(workspace_id) $$;
comment on function public.delete_workspace is
  'Deletes a team and everything in it; its subscriptions are cancelled. For owners.';
create function public.leave_workspace(workspace_id uuid) returns void
language sql set search_path = '' as $$ select private.leave_my_workspace(workspace_id) $$;
comment on function public.leave_workspace is 'Takes the caller out of a team. The last owner cannot leave.';
create function public.list_members(workspace_id uuid)
returns table (user_id uuid, role public.workspace_role, full_name text, avatar_url text, email text,
  joined_at timestamptz)
language sql stable set search_path = ''
as $$ select * from private.people_of(workspace_id) $$;
comment on function public.list_members is
  'Who is in a workspace, owners first: [{ user_id, role, full_name, avatar_url, email, joined_at }]. For its members; '
  'email for owners and admins, null for others.';
create function public.remove_member(workspace_id uuid, user_id uuid) returns void
language sql set search_path = '' as $$ select private.remove_member_of_mine(workspace_id, user_id) $$;
comment on function public.remove_member is
  'Takes a member out of a team and revokes the keys they made there. For owners and admins; '
  'owners are for owners to remove.';
create function public.set_member_role(workspace_id uuid, user_id uuid, role public.workspace_role) returns void
language sql set search_path = '' as $$ select private.set_role_in_mine(workspace_id, user_id, role) $$;
comment on function public.set_member_role is
  'Gives a member another role. For owners and admins; owners are for owners to make and unmake, '
  'and the last one stays.';
create function public.transfer_ownership(workspace_id uuid, user_id uuid) returns void
language sql set search_path = '' as $$ select private.transfer_my_ownership(workspace_id, user_id) $$;
comment on function public.transfer_ownership is 'Makes a member owner in the caller''s place, who stays as an admin.';
create function public.set_member_limit(
  workspace_id uuid, user_id uuid, credit_limit numeric default null, period_credit_limit numeric default null,
  limit_period public.calendar_period default null
) returns void
language sql set search_path = ''
as $$ select private.set_limit_in_mine(workspace_id, user_id, credit_limit, period_credit_limit, limit_period) $$;
comment on function public.set_member_limit is
  'Limits what a member may use of the team''s credits: in all, and per day, week or month (UTC). '
  'What is left out is no limit. For owners and admins.';
create function public.invite_member(
  workspace_id uuid, email text, role public.workspace_role default 'member', expires_in interval default '7 days'
) returns public.issued_invitation language sql set search_path = '' as $$
  select jsonb_populate_record(null::public.issued_invitation,
    private.invite_into_mine(workspace_id, email, role, expires_in))
$$;
comment on function public.invite_member is
  'Invites an address as admin or member: { id, token, email, role, expires_at }. The token is shown this once; '
  'an open invitation of the address ends. An address is sent one a minute, and a person sends invitations_per_day. '
  'For owners and admins.';
create function public.resend_invitation(
  invitation_id uuid, expires_in interval default '7 days'
) returns public.issued_invitation language sql set search_path = '' as $$
  select jsonb_populate_record(null::public.issued_invitation,
    private.resend_invitation_of_mine(invitation_id, expires_in))
$$;
comment on function public.resend_invitation is 'Sends an open invitation again: { id, token, … }. The old token ends.';
create function public.revoke_invitation(invitation_id uuid) returns void
language sql set search_path = '' as $$ select private.revoke_invitation_of_mine(invitation_id) $$;
comment on function public.revoke_invitation is 'Ends an open invitation. For owners and admins.';
create function public.accept_invitation(token text) returns public.accepted_invitation
language sql set search_path = ''
as $$ select jsonb_populate_record(null::public.accepted_invitation, private.accept_my_invitation(token)) $$;
comment on function public.accept_invitation is
  'Makes the caller a member: { workspace_id, role }. Only for the account that has confirmed the invited address, '
  'while the plan has seats.';

grant execute on function public.create_workspace, public.delete_workspace, public.leave_workspace,
  public.remove_member,
  public.list_members, public.set_member_role, public.transfer_ownership, public.set_member_limit, public.invite_member,
  public.resend_invitation, public.revoke_invitation, public.accept_invitation to authenticated;

create trigger workspace_invitations_audit_start_and_end after insert or delete on public.workspace_invitations
  for each row execute function private.audit_change('id', 'workspace_id');
create trigger workspace_invitations_audit_changes
  after update of role, expires_at, accepted_at, revoked_at on public.workspace_invitations
  for each row when ((old.role, old.expires_at, old.accepted_at, old.revoked_at)
    is distinct from (new.role, new.expires_at, new.accepted_at, new.revoked_at))
  execute function private.audit_change('id', 'workspace_id');
