-- The warning of a session on the policy hard comes session_warn_seconds before credits end it, however fast they are used.
begin;
select plan(4);
select tests.offer_analysis();
update public.plan_features set feature_limit = 100000 where plan = 'free' and feature_code in ('requests_per_minute', 'requests_per_day');

-- Sessions of random rates, credits and pace (0.1 to 10 times an analysis of 1,000 tokens a minute, which may change on the way), with
-- the sweep each minute, until credits end them. A run is kept where its promise was not.
create table pg_temp.runs (run integer, warned_at timestamptz, blocked_at timestamptz, ended_at timestamptz, put_off integer, balance numeric);
create function pg_temp.run(number integer) returns void language plpgsql as $$
declare
  who text := 'runner ' || number;
  began timestamptz := '2026-03-01';
  at timestamptz := began;
  next_analysis timestamptz;
  swept timestamptz := began;
  pace numeric := 10 ^ (random() * 2 - 1);
  size numeric := 10 ^ (random() * 2 - 1);
  session uuid;
  answer jsonb;
  sequence integer := 0;
  result pg_temp.runs;
begin
  if random() < 0.5 then
    size := 1;
  else
    pace := 1;
  end if;
  perform tests.create_user(who);
  perform public.set_credit_rate((array['[{"unit": "analysis", "credits": 1}]', '[{"unit": "thousand_tokens", "credits": 1}]',
    '[{"unit": "minute", "credits": 0.5, "rounding": "started_minute"}, {"unit": "thousand_tokens", "credits": 0.5}]',
    '[{"unit": "minute", "credits": 1}, {"unit": "analysis", "credits": 0.5}, {"unit": "fixed", "credits": 2}]',
    '[{"unit": "character", "credits": 0.002}, {"unit": "request", "credits": 0.3}]'])[1 + number % 5]::jsonb, tests.id(who), effective_from => began, at => began);
  perform public.credit_user_credits_transaction(tests.id(who), round(greatest(5.5, (3 + random() * 30) * (array[1, size, 0.5 * size + 0.5 / pace, 0.5 + 1 / pace, 2 * size + 0.3])[1 + number % 5])::numeric, 2), 'gift', at => began);
  answer := tests.start_session(who, policy => 'hard', at => at);
  if not (answer -> 'started')::boolean then
    return;
  end if;
  session := (answer #>> '{session,id}')::uuid;
  result := row(number, null, null, null, 0, null);
  next_analysis := at + make_interval(secs => 60 / pace * random());
  while result.blocked_at is null and at < began + interval '5 hours' loop
    at := least(next_analysis, swept + interval '1 minute');
    if at = next_analysis then
      sequence := sequence + 1;
      answer := tests.admit_analysis(who, session, sequence, least(60 / pace, 600), characters => (1000 * size)::integer, tokens => (800 * size)::integer, at => at);
      if (answer -> 'admitted')::boolean then
        answer := tests.finish_analysis(answer, prompt_tokens => (800 * size * (0.8 + random() * 0.4))::integer, completion_tokens => (200 * size)::integer, at => at + interval '1 second');
        next_analysis := at + make_interval(secs => 1.1 + greatest(60 / pace * (0.6 + random() * 0.8) - 1.1, 0));
        if random() < 0.01 then -- somebody else spends what there is
          perform public.debit_user_credits_transaction(tests.id(who), w.credits_spendable - 1, 'other', at => at + interval '1 second')
          from public.credit_wallets w where w.workspace_id = tests.id(who) and w.credits_spendable > 1;
        end if;
      elsif answer ->> 'code' = 'rate_limited' then
        result.put_off := result.put_off + 1;
        next_analysis := at + make_interval(secs => (answer ->> 'retry_after')::integer);
      elsif answer ->> 'code' = 'insufficient_credits' and answer #>> '{meter,status}' = 'in_progress' then
        result.put_off := result.put_off + 100000; -- a segment too large for the session
        next_analysis := at + interval '1 minute';
      else
        result.blocked_at := at;
      end if;
      if result.warned_at is null and (answer #> '{meter,warning}')::boolean then
        result.warned_at := at;
      elsif (answer #> '{meter,warning}')::boolean is false and answer #>> '{meter,status}' = 'in_progress' then
        result.warned_at := null;
      end if;
    else
      swept := at;
      perform private.watch_session(s, at) from public.sessions s join private.session_work w on w.session_id = s.id where s.id = session and w.due_at <= at;
      select coalesce(result.warned_at, w.warned_at), case when u.status <> 'in_progress' then at end into result.warned_at, result.blocked_at
      from private.session_work w join public.session_usage u on u.session_id = w.session_id where w.session_id = session;
    end if;
  end loop;
  select s.ended_at, w.credits_balance into result.ended_at, result.balance from public.sessions s join public.credit_wallets w on w.workspace_id = s.workspace_id where s.id = session;
  insert into pg_temp.runs select result.*;
end;
$$;
update public.system_config set config_value = '1440' where config_key in ('session_longest_minutes', 'session_idle_minutes');
select setseed(0.5);
select pg_temp.run(n) from generate_series(1, 10) n;
select is((select count(*) from pg_temp.runs where ended_at is null), 0::bigint, 'each run ended');
select is_empty('select * from pg_temp.runs r where (r.warned_at + interval ''120 seconds'' <= r.blocked_at) is not true', 'none is blocked before its promise');
select is_empty('select * from pg_temp.runs where balance < 0', 'none makes debt');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
