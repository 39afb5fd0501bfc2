-- The bucket of Storage: no client writes there, and who may read a job may read its file.
begin;
select plan(22);
select tests.create_user('author'), tests.create_user('owner'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'author');
select public.credit_user_credits_transaction(tests.id('author'), 100, 'purchase', workspace_id => tests.id('team'));
select tests.offer_video('veo');
select results_eq($$ select public, file_size_limit, allowed_mime_types from storage.buckets where id = 'videos' $$,
  $$ values (false, 52428800::bigint, array['video/mp4']) $$, 'the bucket is private, for videos of a size');
select tests.remember('job', tests.make_video('author', workspace => 'team'));
select tests.remember('path', format('%s/%s.mp4', tests.id('team'), tests.recall('job')));
select public.update_video_job(tests.recall('job')::uuid, '{"job_id": "t1", "status": "completed", "result_url": "https://x.test/v"}');
select tests.be_service();
insert into storage.objects (bucket_id, name) values ('videos', tests.recall('path')), ('videos', tests.id('team') || '/other.mp4');
create function pg_temp.seen(person text) returns text
language plpgsql as $$
declare
  seen text;
begin
  perform tests.sign_in(person);
  seen := (select string_agg(replace(name, tests.recall('path'), 'its file'), ', ') from storage.objects);
  perform tests.be_postgres();
  return seen;
end;
$$;
select tests.be_postgres();
select is(pg_temp.seen('author'), null, 'what is not noted yet nobody reads');
select public.note_video_file(tests.recall('job')::uuid, tests.recall('path'));
select is(pg_temp.seen('author'), 'its file', 'then its author does');
select is(pg_temp.seen('owner'), null, 'nobody else in the team');
select is(pg_temp.seen('stranger'), null, 'nor a stranger');
select tests.sign_in('author');
update public.video_jobs set is_shared = true;
select tests.be_postgres();
select is(pg_temp.seen('owner'), 'its file', 'where it is shared the team does');
select is(pg_temp.seen('stranger'), null, 'and strangers do not');
delete from public.workspace_members where user_id = tests.id('author') and workspace_id = tests.id('team');
select is(pg_temp.seen('author'), null, 'nor who left');
select tests.sign_in('owner');
select throws_ok($$ insert into storage.objects (bucket_id, name) values ('videos', tests.id('owner') || '/x.mp4') $$, '42501', null, 'no client writes there');
update storage.objects set name = 'x';
select tests.be_postgres();
select is(pg_temp.seen('owner'), 'its file', 'or moves a file');
select tests.be_anonymous();
select is((select count(*) from storage.objects), 0::bigint, 'who is not signed in reads nothing');
select tests.be_postgres();

-- Another bucket with a file of the same name is not of the jobs.
select tests.be_service();
insert into storage.buckets (id, name) values ('elsewhere', 'elsewhere');
insert into storage.objects (bucket_id, name) values ('elsewhere', tests.recall('path'));
select tests.be_postgres();
select is(pg_temp.seen('owner'), 'its file', 'other buckets are not opened');
select is((select count(*) from pg_catalog.pg_policies where schemaname = 'storage' and 'anon' = any (roles)), 0::bigint, 'nothing there is for everyone');


-- A file without a copy yet: by a link, for an hour.
select tests.remember('second', tests.make_video('owner', workspace => 'team'));
select public.update_video_job(tests.recall('second')::uuid, '{"job_id": "t2", "status": "completed", "result_url": "https://x.test/v"}');
create function pg_temp.link(job text) returns text language sql as $$
  select private.video_job_json(j) #>> '{task,file_link}' from public.video_jobs j where j.id = tests.recall(job)::uuid
$$;
create function pg_temp.opened(job text, until bigint, token text, at timestamptz default clock_timestamp()) returns text
language plpgsql as $$
begin
  return public.video_job_of_file(tests.recall(job)::uuid, until, token, at) #>> '{job,task,result_url}';
exception when others then
  return sqlerrm;
end;
$$;
create function pg_temp.part(nth integer) returns text language sql as $$ select split_part(tests.recall('link'), '/', nth) $$;
select is(pg_temp.link('job'), null, 'a file with a copy has no such link');
select tests.remember('link', pg_temp.link('second'));
select is(pg_temp.part(1), tests.recall('second'), 'a link names its job');
select is(pg_temp.opened('second', pg_temp.part(2)::bigint, pg_temp.part(3)), 'https://x.test/v', 'and opens its file');
select is(pg_temp.opened('second', pg_temp.part(2)::bigint, pg_temp.part(3), clock_timestamp() + interval '61 minutes'), 'not_found', 'for an hour');
select is(pg_temp.opened('second', pg_temp.part(2)::bigint + 9999, pg_temp.part(3)), 'not_found', 'which nobody makes longer');
select is(pg_temp.opened('job', pg_temp.part(2)::bigint, pg_temp.part(3)), 'not_found', 'nor opens another with');
select is(pg_temp.opened('second', null, private.video_token(tests.recall('second'))), 'not_found', 'the webhook''s token opens none');
select is(pg_temp.opened('second', pg_temp.part(2)::bigint, null), 'not_found', 'nor does none');
select tests.sign_in('owner');
select throws_ok($$ select public.video_job_of_file(tests.recall('second')::uuid, 1, 'x') $$, '42501', null, 'no client is told the provider');
select tests.be_postgres();

select * from finish();
rollback;
