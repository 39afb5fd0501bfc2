-- A session in a team: the team pays, it counts for its member's limit, and owners and admins see it.
begin;
select plan(17);
select tests.create_user('author'), tests.create_user('admin'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team'), tests.offer_analysis();
select tests.join_team('team', 'admin', 'owner'), tests.join_team('team', 'author'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('admin'), 100, 'purchase', workspace_id => tests.id('team'));
update public.spending_limits set credit_limit = 3 where workspace_id = tests.id('team') and spender_id = tests.id('author');

select tests.remember('session', tests.start_session('author', 'call', workspace => 'team', at => '2026-03-01') #>> '{session,id}');
select tests.analyze('author', tests.recall('session')::uuid, 1, at => '2026-03-01 00:01Z'), tests.analyze('author', tests.recall('session')::uuid, 2, level => 'red', at => '2026-03-01 00:02Z');
select public.complete_session(tests.recall('session')::uuid, tests.id('author'), 'What was said.', at => '2026-03-01 00:02Z');

select is(tests.ledger('author'), 'credit 3 signup', 'its person pays nothing');
select is(tests.ledger('team'), 'credit 100 purchase, debit -1 session_fee', 'the team does');
select is((select credits_used::numeric from public.spending_limits where workspace_id = tests.id('team') and spender_id = tests.id('author')), 1::numeric, 'it counts for the member''s limit');
select is((select user_id from public.credit_transactions where workspace_id = tests.id('team') and reason = 'session_fee'), tests.id('author'), 'in the member''s name');
select is((select count(*) from public.sessions where workspace_id = tests.id('author')), 0::bigint, 'and is not in their own workspace');

-- Who sees it. The transcript is no figure.
create function pg_temp.sees(person text) returns text language plpgsql as $$
declare
  seen text;
begin
  perform tests.sign_in(person);
  select format('%s sessions, %s analyses, %s credits, %s calls, %s transcripts', count(*), (select count(*) from public.session_analysis_logs), (
    select coalesce(trim_scale(sum(u.credits_consumed)), 0) from public.session_usage u), (select count(*) from public.ai_usage_logs), (select count(*) from public.session_transcripts)) into seen
  from public.sessions;
  perform tests.be_postgres();
  return seen;
end;
$$;
select is(pg_temp.sees(person), seen, format('%s sees %s', person, seen)) from (values ('author', '1 sessions, 2 analyses, 1 credits, 3 calls, 1 transcripts'),
  ('admin', '1 sessions, 2 analyses, 1 credits, 3 calls, 0 transcripts'), ('member', '0 sessions, 0 analyses, 0 credits, 0 calls, 0 transcripts'),
  ('stranger', '0 sessions, 0 analyses, 0 credits, 0 calls, 0 transcripts')) x (person, seen);
select tests.sign_in('admin');
select is((public.session_usage_stats(user_id => tests.id('author'), workspace_id => tests.id('team'))).total_credits_consumed::numeric, 1::numeric, 'an admin counts the member''s');
select is((select format('%s red of %s', m.red_count, m.total_count) from public.session_safety_by_member(tests.id('team')) m where m.user_id = tests.id('author')), '1 red of 2', 'with its levels');
select is((select array_agg(h.sequence_number) from public.session_analysis_history(tests.id('team'), 'red') h), '{2}', 'and finds the red ones');
select is((select array_agg(r.credits) from public.usage_report('scene', '2026-03-01', '2026-03-01', tests.id('team')) r where r.name = 'session_analysis'), '{1}', 'the report of usage has the charge');
select tests.be_postgres();

-- The limit holds.
update public.spending_limits set credit_limit = 1 where workspace_id = tests.id('team') and spender_id = tests.id('author');
select is(tests.start_session('author', 'another', workspace => 'team', at => '2026-03-02') ->> 'code', 'limit_reached', 'a member whose limit is used up starts none');
select is(tests.start_session('member', 'another', workspace => 'team', at => '2026-03-02') ->> 'started', 'true', 'another does');
select throws_ok($$ select tests.start_session('stranger', 'another', workspace => 'team', at => '2026-03-02') $$, 'PT404', 'not_found', 'a stranger is told of no team');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
