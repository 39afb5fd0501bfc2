begin;
select plan(14);
select tests.create_user('owner'), tests.create_user('member'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase'),
  public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase', workspace_id => tests.id('team'));
select tests.offer_video('veo');

select tests.remember('job', tests.ask_video('owner', key => 'k', hash => 'h', request_id => 'r1') #>> '{job,id}');
select is(tests.ask_video('owner', key => 'k', hash => 'h') - 'job', '{"created": false}'::jsonb, 'a repeat makes none');
select is(tests.ask_video('owner', key => 'k', hash => 'h') #>> '{job,id}', tests.recall('job'), 'and gets the job, whatever runs by then');
select is(tests.wallet('owner'), 'balance 83, total 103, spent 20, expired 0, held 0', 'which is charged once');
select public.fail_video_job(tests.recall('job')::uuid, 'upstream_error');
select is(tests.ask_video('owner', key => 'k', hash => 'h') #>> '{job,status}', 'failed', 'also when it has failed');
select is(tests.ask_video('owner', key => 'k', hash => 'other') - 'message',
  '{"created": false, "status": 409, "code": "idempotency_conflict", "param": "idempotency-key", "retry_after": null}'::jsonb, 'another request is a conflict');
select ok(tests.ask_video('owner', workspace => 'team', key => 'k', hash => 'h') @> '{"created": true}', 'a key belongs to its workspace');
select is(tests.ask_video('member', workspace => 'team', key => 'k', hash => 'h') ->> 'code', 'idempotency_conflict',
  'where nobody gets the job of somebody else by it');
select throws_ok($$ select tests.ask_video('owner', key => repeat('x', 256)) $$, 'PT400', 'invalid_request', 'it has 255 characters at most');
select is((select count(*) from public.video_jobs), 2::bigint, 'two jobs were made');

create function pg_temp.end_all() returns bigint language sql as $$
  select count(public.fail_video_job(j.id, 'upstream_error')) from public.video_jobs j where j.finished_at is null
$$;
select pg_temp.end_all();
select tests.remember('job', tests.ask_video('member', workspace => 'team', key => 'm', hash => 'h') #>> '{job,id}');
select is(pg_temp.end_all(), 1::bigint, 'a job of a member''s runs');
delete from public.video_jobs where id = tests.recall('job')::uuid;
select ok(tests.ask_video('member', workspace => 'team', key => 'm', hash => 'other') @> '{"created": true}', 'a key is free once its job is deleted');
select is(pg_temp.end_all(), 1::bigint, 'as another one');
delete from auth.users where id = tests.id('member');
select ok(tests.ask_video('owner', workspace => 'team', key => 'm', hash => 'h') @> '{"created": true}', 'or the account that used it');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
