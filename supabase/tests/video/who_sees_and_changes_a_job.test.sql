begin;
select plan(45);
select tests.create_user('author'), tests.create_user('owner'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'author'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('author'), 100, 'purchase', workspace_id => tests.id('team')),
  public.credit_user_credits_transaction(tests.id('author'), 100, 'purchase');
select tests.limit_plans('video_jobs_at_once', null);
select tests.offer_video('veo');
select tests.remember('job', tests.make_video('author', workspace => 'team', at => now() - interval '1 hour')), tests.remember('own', tests.make_video('author'));
insert into public.api_keys (id, workspace_id, user_id, name, prefix) values (tests.id('key'), tests.id('author'), tests.id('author'), 'key', 'sk-'),
  (tests.id('other key'), tests.id('team'), tests.id('member'), 'key', 'sk-');
insert into private.api_key_hashes (key_hash, api_key_id) values (sha256('key'), tests.id('key')), (sha256('other key'), tests.id('other key'));
create function pg_temp.seen(person text) returns text
language plpgsql as $$
declare
  seen text;
begin
  perform tests.sign_in(person);
  seen := (select count(*) from public.video_jobs);
  perform tests.be_postgres();
  return seen;
end;
$$;
create function pg_temp.get(person text, job text default 'job', workspace text default null, key text default null, at timestamptz default now()) returns text
language plpgsql as $$
declare
  answer jsonb;
begin
  answer := public.get_video_job(tests.id(person), tests.recall(job)::uuid, encode(sha256(convert_to(key, 'UTF8')), 'hex'), tests.id(workspace), get.at);
  return concat_ws(' ', answer #>> '{job,status}', answer ->> 'is_author', answer ->> 'is_stale', answer ->> 'is_last');
exception when others then
  return sqlerrm;
end;
$$;

select is(pg_temp.seen('author'), '2', 'an author sees their jobs');
select is(pg_temp.seen('owner'), '0', 'what is not shared nobody else does, be it an owner');
select is(pg_temp.seen('member'), '0', 'or member');
select is(pg_temp.seen('stranger'), '0', 'or stranger');
select tests.sign_in('member');
update public.video_jobs set is_shared = true;
select tests.sign_in('owner');
update public.video_jobs set is_shared = true;
select tests.be_postgres();
select is((select count(*) from public.video_jobs where is_shared), 0::bigint, 'nobody shares what is another''s');
select is(pg_temp.get('author'), 'pending true false true', 'the function gets it for its author');
select is(pg_temp.get('member'), 'not_found', 'for a member it is not there');
select is(pg_temp.get('owner'), 'not_found', 'nor for an owner');

update public.users set is_active = false where id = tests.id('author');
select tests.sign_in('author');
update public.video_jobs set is_shared = true;
select tests.be_postgres();
select is((select count(*) from public.video_jobs where is_shared), 0::bigint, 'a disabled account shares nothing');
update public.users set is_active = true where id = tests.id('author');
select tests.sign_in('author');
update public.video_jobs set is_shared = true where id = tests.recall('job')::uuid;
select throws_ok($$ update public.video_jobs set status = 'completed' $$, '42501', null, 'an author shares and changes nothing else');
select throws_ok($$ insert into public.video_jobs (workspace_id, model, prompt, cost_credits, expires_at)
  values (auth.uid(), 'veo', 'x', 0, now()) $$, '42501', null, 'nor makes one');
select throws_ok($$ delete from public.video_jobs $$, '42501', null, 'nor takes one away');
select throws_ok($$ select private.video_token(tests.recall('job')) $$, '42501', null, 'nor learns the webhook''s token');
select throws_ok($$ select public.fail_video_job(tests.recall('job')::uuid, 'x') $$, '42501', null, 'nor ends one');
select throws_ok($$ select * from private.video_job_work $$, '42501', null, 'nor sees what the provider said');
select tests.be_postgres();
select is(pg_temp.seen('member'), '1', 'members see what is shared');
select is(pg_temp.seen('owner'), '1', 'owners too');
select is(pg_temp.seen('stranger'), '0', 'strangers do not');
select tests.be_anonymous();
select throws_ok('select * from public.video_jobs', '42501', null, 'nor who is not signed in');
select tests.be_postgres();
select is(pg_temp.get('member'), 'pending false false true', 'a member gets what is shared, as not theirs');
select is(pg_temp.get('stranger'), 'not_found', 'a stranger does not');
select is(pg_temp.get('author', 'own', 'team'), 'not_found', 'a workspace that is named holds');
select is(pg_temp.get(null, 'own', key => 'key'), 'pending true false false', 'a key gets the jobs of its person');
select is(pg_temp.get(null, 'job', key => 'key'), 'not_found', 'in its workspace alone');
select is(pg_temp.get(null, 'job', key => 'other key'), 'pending false false true', 'and what is shared there');
update public.api_keys set allowed_scenes = '{text_chat}' where id = tests.id('key');
select is(pg_temp.get(null, 'own', key => 'key'), 'forbidden', 'but not one that is for other scenes');
update public.api_keys set allowed_scenes = '{text_chat,video_generation}' where id = tests.id('key');
select is(pg_temp.get(null, 'own', key => 'key'), 'pending true false false', 'while one for videos too does');
delete from public.workspace_members where user_id = tests.id('author') and workspace_id = tests.id('team');
select is(pg_temp.seen('author'), '1', 'who leaves a team leaves their jobs there');
select tests.be_postgres();
select is(pg_temp.get('author'), 'not_found', 'also for the function');
select is(public.fail_video_job(tests.recall('job')::uuid, 'upstream_error') -> 'credits_refunded', '20', 'which are refunded all the same');

-- One caller asks the provider.
select public.start_video_job(tests.recall('own')::uuid, 't1', at => now() - interval '1 minute');
select is(pg_temp.get('author', 'own', at => now() - interval '50 seconds'), 'processing true false false', 'a job that was just asked about is not stale');
select is(pg_temp.get('author', 'own'), 'processing true true false', 'after a while it is, for who comes first');
select is(pg_temp.get('author', 'own'), 'processing true false false', 'and not for the next');

-- The webhook.
select is(public.video_job_of_webhook(tests.recall('own')::uuid, private.video_token(tests.recall('own'))) #>> '{job,task,job_id}', 't1', 'a webhook finds its job by its token');
select is((select next_sync_at <= now() from private.video_job_work where video_job_id = tests.recall('own')::uuid) or
  jsonb_array_length(public.sync_video_jobs(at => clock_timestamp() + interval '1 second') -> 'work') > 0, true, 'which is due until the provider was asked');
select throws_ok($$ select public.video_job_of_webhook(tests.recall('own')::uuid, private.video_token(tests.recall('job'))) $$, 'PT404', 'not_found', 'not by that of another');
select throws_ok($$ select public.video_job_of_webhook(tests.recall('own')::uuid, null) $$, 'PT404', 'not_found', 'nor without one');
select throws_ok($$ select public.video_job_of_webhook(gen_random_uuid(), 'x') $$, 'PT404', 'not_found', 'nor one that is not there');
select throws_ok($$ select public.fail_video_job(gen_random_uuid(), 'x') $$, 'PT404', 'not_found', 'which cannot be ended');


-- What is between the operator and the provider.
select public.update_video_job(tests.recall('own')::uuid, '{"status": "completed", "result_url": "https://files.gate.test/v"}');
update public.video_jobs set is_shared = true where id = tests.recall('own')::uuid;
select tests.sign_in('author');
select is((select count(*) from public.video_jobs where id = tests.recall('own')::uuid), 1::bigint, 'an author reads all columns of their job');
select unalike((select string_agg(j::text, ' ') from public.video_jobs j), '%gate.test%', 'and no host of its provider''s');
select hasnt_column('public', 'video_jobs', word, 'nor its ' || word) from unnest(array['provider', 'job_id', 'result_url']) word;
select tests.be_postgres();
select is(public.get_video_job(tests.id('author'), tests.recall('own')::uuid) #>> '{job,task,result_url}', 'https://files.gate.test/v',
  'the service role is told');

select * from finish();
rollback;
