-- Where the server has no pg_cron, pg_net or Vault, stand-ins of this test are asked.
begin;
select plan(9);

select is_empty($$
  select * from private.schedule_basemeter() s where (s.state = 'scheduled')
    <> (s.job = 'basemeter_scheduled_work' and to_regnamespace('cron') is not null)
$$, 'without pg_net only the job that calls no function is made, and that only with pg_cron');
select matches((select s.state from private.schedule_basemeter() s where s.job = 'basemeter_video_sync'),
  '^missing: enable pg_(cron|net)', 'and the others say what is missing');

do $$
begin
  if to_regnamespace('cron') is null then
    create schema cron;
    create table cron.job (jobname text primary key, schedule text, command text);
    create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql
    as 'insert into cron.job values ($1, $2, $3) on conflict (jobname) do update set command = $3 returning 1::bigint';
  end if;
end;
$$;
create schema net;
create table net.asked (url text, headers jsonb, timeout_milliseconds integer);
create function net.http_post(url text, headers jsonb, timeout_milliseconds integer) returns bigint
language sql as $$ insert into net.asked values (url, headers, timeout_milliseconds) returning 1::bigint $$;
create schema vault;
create table vault.decrypted_secrets (name text, decrypted_secret text);
insert into vault.decrypted_secrets values ('basemeter_project_url', 'https://ref.supabase.co/'), ('another', 'x');

select results_eq($$ select s.job, s.state from private.schedule_basemeter() s order by s.job $$, $$ values
  ('basemeter_billing_tasks', 'missing: put basemeter_project_url and basemeter_secret_key into Vault'),
  ('basemeter_scheduled_work', 'scheduled'),
  ('basemeter_video_sync', 'missing: put basemeter_project_url and basemeter_secret_key into Vault')
$$, 'both secrets are needed');

insert into vault.decrypted_secrets values ('basemeter_secret_key', 'sb_secret_1');
select is_empty($$ select * from private.schedule_basemeter() s where s.state <> 'scheduled' $$, 'then all are scheduled');
select results_eq($$ select j.jobname::text collate "default", j.schedule from cron.job j where j.jobname ~ '^basemeter_' order by 1 $$, $$ values
  ('basemeter_billing_tasks', '*/5 * * * *'), ('basemeter_scheduled_work', '* * * * *'), ('basemeter_video_sync', '* * * * *')
$$, 'once each');

select private.call_function('video/sync');
update vault.decrypted_secrets set decrypted_secret = 'sb_secret_2' where name = 'basemeter_secret_key';
select private.call_function('billing/tasks');
select set_eq($$ select a.url, a.headers ->> 'apikey' from net.asked a $$, $$ values
  ('https://ref.supabase.co/functions/v1/video/sync', 'sb_secret_1'),
  ('https://ref.supabase.co/functions/v1/billing/tasks', 'sb_secret_2')
$$, 'a job calls its function with the key that is in Vault at that time');
select is((select count(*) from cron.job j where j.command ~ 'sb_secret'), 0::bigint, 'and holds no key');

select tests.be_service();
select throws_ok($$ select private.call_function('video/sync') $$, '42501', null, 'no role of the API can have it called');

reset role;
drop table private.payment_tasks cascade;
select results_eq($$ select s.job from private.schedule_basemeter() s order by s.job $$, $$ values ('basemeter_scheduled_work'), ('basemeter_video_sync') $$,
  'a project without a module has no job of it');

select * from finish();
rollback;
