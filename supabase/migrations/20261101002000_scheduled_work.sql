-- Work that time brings, one small piece a transaction.

create function private.run_due_work(at timestamptz default clock_timestamp()) returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  -- Lost calls first: their credits are settled before their holds expire.
  return (private.finish_next_lost_ai_call(at) or private.expire_next_wallet(at) or private.complete_next_account(at)
    or private.make_next_usage_log_partition(at) or private.forget_old_ai_requests(at))::integer;
end;
$$;
comment on function private.run_due_work(timestamptz) is
  'Does the next piece of work that is due: 1, or 0 when there is none. Call it, with a commit between, until it answers 0.';

create function private.schedule_due_work() returns boolean
language plpgsql set search_path = ''
as $$
begin
  if not exists (select from pg_catalog.pg_extension e where e.extname = 'pg_cron') then
    return false;
  end if;
  perform cron.schedule('basemeter_due_work', '* * * * *',
    'do $do$ begin for piece in 1 .. 1000 loop exit when private.run_due_work() = 0; commit; end loop; end $do$');
  return true;
end;
$$;
comment on function private.schedule_due_work() is
  'Has pg_cron do due work every minute; false where pg_cron is not installed. Call it after enabling pg_cron later.';

do $$
begin
  if exists (select from pg_catalog.pg_available_extensions e where e.name = 'pg_cron') then
    begin
      create extension if not exists pg_cron with schema pg_catalog;
    exception when others then
      raise notice 'pg_cron could not be enabled (%): enable it and call private.schedule_due_work()', sqlerrm;
    end;
  end if;
  perform private.schedule_due_work();
end;
$$;
