-- Scheduled jobs: pg_cron runs private.run_due_work and calls the edge functions that have work of their own.

-- What a scheduled job runs to call an edge function. pg_net, Vault and pg_cron are not there where the lints run:
-- `format`.
-- Posts to an edge function with the secret key. URL and key are read from Vault at each call, so a new key needs
-- no new schedule.
create function private.call_function(path text) returns void language plpgsql set search_path = '' as $$
declare
  project_url text;
  secret_key text;
begin
  execute format($sql$
    select max(decrypted_secret) filter (where name = 'basemeter_project_url'),
      max(decrypted_secret) filter (where name = 'basemeter_secret_key') from %I.decrypted_secrets
  $sql$, 'vault') into project_url, secret_key;
  execute format($sql$ select %I.http_post(url => $1, headers => $2, timeout_milliseconds => 60000) $sql$, 'net')
    using rtrim(project_url, '/') || '/functions/v1/' || path,
      jsonb_build_object('content-type', 'application/json', 'apikey', secret_key);
end;
$$;

-- Creates the pg_cron jobs: one row each, with what is missing where one could not be created. Call it again after
-- adding that.
create function private.schedule_basemeter() returns table (job text, schedule text, state text)
language plpgsql set search_path = '' as $$
declare
  has_cron boolean := exists (select from pg_catalog.pg_proc p
    where p.pronamespace = to_regnamespace('cron') and p.proname = 'schedule');
  has_net boolean := exists (select from pg_catalog.pg_proc p
    where p.pronamespace = to_regnamespace('net') and p.proname = 'http_post');
  secrets integer := 0;
  needed text;
  is_call boolean;
  command text;
begin
  if to_regclass('vault.decrypted_secrets') is not null then
    execute format($sql$
      select count(*) from %I.decrypted_secrets
      where name in ('basemeter_project_url', 'basemeter_secret_key') and decrypted_secret <> ''
    $sql$, 'vault') into secrets;
  end if;
  for job, schedule, needed, is_call, command in values
    ('basemeter_scheduled_work', '* * * * *', 'private.due_work', false,
      'do $do$ begin for piece in 1 .. 1000 loop exit when private.run_due_work() = 0; commit; end loop; end $do$'),
    ('basemeter_video_sync', '* * * * *', 'public.video_jobs', true,
      $sql$ select private.call_function('video/sync') $sql$),
    ('basemeter_billing_tasks', '*/5 * * * *', 'private.payment_tasks', true,
      $sql$ select private.call_function('billing/tasks') $sql$)
  loop
    continue when to_regclass(needed) is null; -- of a module that this project does without
    state := case
      when not has_cron then 'missing: enable pg_cron under Integrations'
      when not is_call then 'scheduled'
      when not has_net then 'missing: enable pg_net under Integrations'
      when secrets < 2 then 'missing: put basemeter_project_url and basemeter_secret_key into Vault'
      else 'scheduled'
    end;
    if state = 'scheduled' then
      execute format('select %I.schedule($1, $2, $3)', 'cron') using job, schedule, btrim(command);
    end if;
    return next;
  end loop;
end;
$$;

do $$
begin
  if exists (select from pg_catalog.pg_available_extensions e where e.name = 'pg_cron') then
    begin
      create extension if not exists pg_cron with schema pg_catalog;
    exception when others then
      raise notice 'pg_cron could not be enabled (%): enable it and call private.schedule_basemeter()', sqlerrm;
    end;
  end if;
  perform private.schedule_basemeter();
end;
$$;
