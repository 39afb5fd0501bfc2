-- Work that time brings, one small piece a transaction.

create function private.run_due_work(at timestamptz default clock_timestamp()) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  piece text;
  is_done boolean;
begin
  -- Lost calls first: their credits are settled before their holds expire.
  foreach piece in array array['finish_next_lost_ai_call', 'end_next_overdue_video_job', 'expire_next_wallet',
    'complete_next_account', 'end_next_access', 'match_next_payment', 'make_next_usage_log_partition',
    'forget_old_ai_requests', 'report_next_lone_reversal', 'end_next_lost_charge', 'request_next_top_up',
    'end_next_top_up', 'forget_next_audit_logs']
  loop
    begin
      execute format('select private.%I($1)', piece) into is_done using at;
      if is_done then
        return 1;
      end if;
    exception when others then
      -- What one kind of work meets is no reason to leave the others undone.
      raise warning '% failed: % (%)', piece, sqlerrm, sqlstate;
    end;
  end loop;
  return 0;
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
