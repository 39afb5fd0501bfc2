begin;
select plan(28);
-- One instant before an edge (a minute's, day's and month's) and one after it, in the order late, early, late, early.
create function pg_temp.before_edge() returns timestamptz language sql as $$ select date_trunc('month', now(), 'UTC') - interval '0.5 s' $$;
create function pg_temp.after_edge() returns timestamptz language sql as $$ select date_trunc('month', now(), 'UTC') + interval '0.5 s' $$;
select results_eq($$ select w.started_at, w.ends_at, w.used from private.window_at('day', '2026-05-05 00:00+00', 3, '2026-05-05 23:59+00') w $$,
  $$ values ('2026-05-05 00:00+00'::timestamptz, '2026-05-06 00:00+00'::timestamptz, 3::numeric) $$, 'within a window its use counts');
select results_eq($$ select w.started_at, w.used from private.window_at('day', '2026-05-05 00:00+00', 3, '2026-05-06 00:00+00') w $$,
  $$ values ('2026-05-06 00:00+00'::timestamptz, 0::numeric) $$, 'the next begins with nothing');
select results_eq($$ select w.started_at, w.used from private.window_at('day', '2026-05-05 00:00+00', 3, '2026-05-04 23:59+00') w $$,
  $$ values ('2026-05-05 00:00+00'::timestamptz, 3::numeric) $$, 'what comes late turns nothing back');
select results_eq($$ select w.started_at, w.used from private.window_at('month', '2026-05-05 00:00+00', 3, '2026-05-05 12:00+00') w $$,
  $$ values ('2026-05-01 00:00+00'::timestamptz, 3::numeric) $$, 'a day''s use is part of its month''s');
select results_eq($$ select w.started_at, w.used from private.window_at('minute', null, null, '2026-05-05 12:00:59+00') w $$,
  $$ values ('2026-05-05 12:00+00'::timestamptz, 0::numeric) $$, 'the first window begins with nothing');
set local timezone to 'Asia/Kolkata';
select results_eq($$ select w.started_at, w.ends_at from private.window_at('month', null, 0, '2026-02-01 00:00+00') w $$,
  $$ values ('2026-02-01 00:00+00'::timestamptz, '2026-03-01 00:00+00'::timestamptz) $$, 'in UTC, wherever the session is');
set local timezone to 'UTC';

select tests.create_user('free'), tests.create_user('writer'), tests.create_user('owner'), tests.create_user('ben');
select tests.put_on_plan('owner', 'enterprise');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request, scene) values
  ('chat', 'Chat', 'up', 100, 0, 'text_chat'), ('embed', 'Embed', 'up', 0, 0, 'embedding'), ('paid', 'Paid', 'up', 100, 1, 'text_chat');
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('embed', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('paid', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.admitted(person text, model text, at timestamptz, calls integer, hash text default null, team text default null) returns bigint
language sql as $$
  select count(*) from generate_series(1, calls) where (public.admit_ai_call(tests.id(person), model, 1, 1, api_key_hash => hash,
    workspace_id => tests.id(team), at => at) ->> 'admitted')::boolean
$$;

-- Minute: a plan's ten and a key's two.
create function pg_temp.minute(seconds numeric) returns timestamptz language sql as $$
  select date_trunc('minute', date_trunc('month', now(), 'UTC') + interval '1 hour') + seconds * interval '1 s' $$;
select is(pg_temp.admitted('free', 'embed', pg_temp.minute(60), 11), 10::bigint, 'ten calls in the later minute');
select is(pg_temp.admitted('free', 'embed', pg_temp.minute(59), 11), 0::bigint, 'one that was earlier and comes now is of the minute that runs');
select is(pg_temp.admitted('free', 'embed', pg_temp.minute(61), 11), 0::bigint, 'and does not empty it');
select is(pg_temp.admitted('free', 'embed', pg_temp.minute(120), 11), 10::bigint, 'the next minute has its own');

-- Month: messages are counted in each month by itself.
select is(pg_temp.admitted('writer', 'chat', pg_temp.after_edge() + n * interval '1 minute', 1), 1::bigint, 'half of a month''s messages')
from generate_series(1, 5) n;
select is(pg_temp.admitted('writer', 'chat', pg_temp.before_edge(), 11), 10::bigint, 'a back-dated month has its own ten');
select is((select sum(pg_temp.admitted('writer', 'chat', pg_temp.after_edge() + n * interval '1 minute', 1)) from generate_series(6, 15) n), 5::numeric,
  'and changes nothing of the newer one');

-- Key: its budget of a day.
select tests.sign_in('owner');
select tests.remember('key', to_jsonb(public.create_api_key('key', period_budget => 2, budget_period => 'day')) ->> 'key');
select tests.be_postgres();
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'manual');
select tests.remember('hash', encode(sha256(tests.recall('key')::bytea), 'hex'));
select is(pg_temp.admitted(null, 'paid', pg_temp.after_edge(), 3, tests.recall('hash')), 2::bigint, 'a key''s two of the later day');
select is(pg_temp.admitted(null, 'paid', pg_temp.before_edge(), 3, tests.recall('hash')), 2::bigint, 'a back-dated day has its own two');
select public.finish_ai_call(c.hold_id, 'success', at => pg_temp.before_edge()) from private.ai_calls c where c.api_key_id is not null;
select is(pg_temp.admitted(null, 'paid', pg_temp.after_edge(), 3, tests.recall('hash')), 0::bigint, 'and a late end does not empty it');
select is(pg_temp.admitted(null, 'paid', pg_temp.after_edge() + interval '1 day', 3, tests.recall('hash')), 2::bigint, 'the next day has its own');

-- Member: a limit of a day.
select tests.create_team('team'), tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'ben');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'manual', workspace_id => tests.id('team'));
update public.workspace_member_credits set limit_period = 'day', period_credit_limit = 5 where user_id = tests.id('ben') and workspace_id = tests.id('team');
create function pg_temp.debited(at timestamptz, times integer) returns integer language plpgsql as $$
declare
  done integer := 0;
begin
  for n in 1 .. times loop
    begin
      perform public.debit_user_credits_transaction(tests.id('ben'), 1, 'manual', workspace_id => tests.id('team'), at => at);
      done := done + 1;
    exception when others then
      null;
    end;
  end loop;
  return done;
end $$;
select is(pg_temp.debited(pg_temp.after_edge(), 3), 3, 'some of the later day');
select is(pg_temp.debited(pg_temp.before_edge(), 6), 5, 'a back-dated day has its own five');
select is(pg_temp.debited(pg_temp.after_edge(), 6), 2, 'and the later one what was left of it');
select is((select period_credits_used::numeric from public.spending_limits where spender_id = tests.id('ben')), 5::numeric, 'as it is told');

-- Back-dated work.
select public.record_ai_usage(tests.id('ben'), 'paid', 'yesterday''s', charge => true, workspace_id => tests.id('team'), at => pg_temp.before_edge());
select is((select period_credits_used::numeric || ' of ' || credits_used::numeric from public.spending_limits where spender_id = tests.id('ben')),
  '5.000000 of 11.000000', 'a call of yesterday that is recorded now leaves today''s use as it is');
select is(pg_temp.debited(pg_temp.after_edge(), 1), 0, 'so that it makes no room');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
