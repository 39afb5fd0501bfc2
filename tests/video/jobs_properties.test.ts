/**
 * Any order of what may happen to video jobs (the answer to a submission, webhooks, polls, cancels, time limits, sweeps, all
 * of it late and twice) leaves each in one final state, paid for exactly when it is completed.
 */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { adminPool, sqlAs } from '../support/stack.ts';
import { offerVideos } from '../support/videos.ts';
import { newAccount } from '../support/wallets.ts';

const RUNS = runs(100);
const COST = 20;
const model = `video-properties-${randomUUID()}`;
let account: string;
let db: pg.Client;

/** One thing that happens: to which job, how many minutes after the one before, how often. */
type Step = { kind: string; job: 0 | 1; wait: number; times: number };
/** What shows after a step, of both jobs. */
type State = { status: string; paid: number; refunds: number; logs: string[]; finished_at: string | null };

const KINDS = [
  'start',
  'start another',
  'processing',
  'completed',
  'completed without file',
  'failed',
  'canceled',
  'task of the other',
  'missing',
  'refused',
  'cancel',
  'ask to cancel',
  'goes on',
  'timeout',
  'sweep',
  'due work',
  'webhook',
  'read',
  'file',
  'forget',
] as const;

// Plays in one call what happens, and rolls it back: every order begins with the same account.
const PLAYER = `
create function pg_temp.act(kind text, job uuid, other uuid, account uuid, at timestamptz) returns void
language plpgsql as $$
declare
  task text := 'task of ' || job;
  file text := 'https://result.test/v';
begin
  case kind
    when 'start' then perform public.start_video_job(job, task, at => at);
    when 'start another' then perform public.start_video_job(job, task || ' 2', at => at);
    when 'completed' then perform public.update_video_job(job, jsonb_build_object('job_id', task, 'status', kind, 'result_url', file), at => at);
    when 'completed without file' then perform public.update_video_job(job, jsonb_build_object('job_id', task, 'status', 'completed'), at => at);
    when 'task of the other' then perform public.update_video_job(job, jsonb_build_object('job_id', 'task of ' || other, 'status', 'completed', 'result_url', file), at => at);
    when 'missing' then perform public.note_video_task_missing(job, at);
    when 'refused' then perform public.fail_video_job(job, 'invalid_request', at => at);
    when 'cancel' then perform public.cancel_video_job(job, true, at => at);
    when 'ask to cancel' then perform public.cancel_video_job(job, false, at => at);
    when 'goes on' then perform public.cancel_video_job(job, false, true, at);
    when 'timeout' then perform public.fail_video_job(job, 'timed_out', at => at);
    when 'sweep' then perform public.sync_video_jobs(at => at);
    when 'due work' then perform private.end_next_overdue_video_job(at);
    when 'webhook' then perform public.video_job_of_webhook(job, private.video_token(job::text), at);
    when 'read' then perform public.get_video_job(account, job, at => at);
    when 'file' then perform public.note_video_file(job, private.video_path_of(j), at => at) from public.video_jobs j where j.id = job;
    when 'forget' then update public.video_jobs set user_id = null where id = job;
    else perform public.update_video_job(job, jsonb_build_object('job_id', task, 'status', kind, 'progress', 10), at => at);
  end case;
exception when sqlstate 'PT404' or sqlstate 'PT409' then
  null; -- a person who is gone reads nothing
end;
$$;

create function pg_temp.state_of(job uuid) returns jsonb
language sql as $$
  select jsonb_build_object('status', j.status, 'finished_at', j.finished_at,
    'paid', (select coalesce(-sum(t.amount), 0) from public.credit_transactions t where t.id = w.debit_id or t.refunded_transaction_id = w.debit_id),
    'refunds', (select count(*) from public.credit_transactions t where t.refunded_transaction_id = w.debit_id),
    'logs', (select coalesce(jsonb_agg(l.status || ' ' || trim_scale(l.credits_charged)), '[]') from public.ai_usage_logs l where l.request_id = j.request_id))
  from public.video_jobs j join private.video_job_work w on w.video_job_id = j.id where j.id = job
$$;

create function pg_temp.play(account uuid, model text, steps jsonb) returns jsonb
language plpgsql as $$
declare
  at timestamptz := '2026-03-01';
  jobs uuid[];
  step jsonb;
  states jsonb := '[]';
begin
  -- A grant that expires while the jobs run: what comes back finds it gone. Here, or the sweep would take it meanwhile.
  perform public.credit_user_credits_transaction(account, 25, 'gift', kind => 'promotion', expires_at => at + interval '20 minutes', at => at);
  for n in 1 .. 2 loop
    jobs := jobs || (public.create_video_job(account, model, 'a cat', request_id => 'run ' || account || n, at => at) #>> '{job,id}')::uuid;
  end loop;
  -- At last everything that is left is swept.
  for step in select value from jsonb_array_elements(steps || '[{"kind": "sweep", "job": 0, "wait": 200, "times": 2}]'::jsonb) loop
    at := at + make_interval(mins => (step ->> 'wait')::integer);
    for n in 1 .. (step ->> 'times')::integer loop
      perform pg_temp.act(step ->> 'kind', jobs[(step ->> 'job')::integer + 1], jobs[2 - (step ->> 'job')::integer], account, at);
      states := states || jsonb_build_array(jsonb_build_array(pg_temp.state_of(jobs[1]), pg_temp.state_of(jobs[2])));
    end loop;
  end loop;
  return jsonb_build_object('states', states,
    'drift', (select count(*) from public.verify_credits(account)),
    'spent', (select w.credits_spent from public.credit_wallets w where w.workspace_id = account),
    'counted', (select sum(s.total_requests) from public.ai_usage_statistics s where s.workspace_id = account),
    'used', (select sum(u.used) from public.feature_usage u where u.workspace_id = account and u.feature_code = 'api_call'));
end;
$$;`;

beforeAll(async () => {
  await offerVideos(model, COST);
  account = await newAccount(30);
  await adminPool.query(`update public.workspaces set plan = 'enterprise' where id = $1`, [account]);
  db = await sqlAs('postgres');
  await db.query(PLAYER);
});
afterAll(async () => {
  await db.end();
  await adminPool.query('update public.ai_models set is_active = false where model = $1', [model]);
});

type Outcome = { states: State[][]; drift: number; spent: number; counted: number; used: number | null };

async function play(steps: Step[]): Promise<Outcome> {
  await db.query('begin');
  try {
    const { rows } = await db.query('select pg_temp.play($1, $2, $3) as outcome', [
      account,
      model,
      JSON.stringify(steps),
    ]);
    return rows[0].outcome;
  } finally {
    await db.query('rollback');
  }
}

const isFinal = (status: string): boolean => ['completed', 'failed', 'canceled'].includes(status);

/** The rules that hold after every step. */
function checkStep(state: State): void {
  const isPaid = !isFinal(state.status) || state.status === 'completed';
  expect(state.paid).toBe(isPaid ? COST : 0);
  expect(state.refunds).toBe(isPaid ? 0 : 1);
  const charged = state.status === 'completed' ? `success ${COST}` : `${state.status} 0`;
  expect(state.logs).toEqual(isFinal(state.status) ? [charged] : []);
}

const step = fc.record<Step>({
  kind: fc.constantFrom(...KINDS),
  job: fc.constantFrom(0, 1),
  wait: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: 3 }) }, fc.integer({ min: 0, max: 100 })),
  times: fc.constantFrom(1, 1, 2),
});

test(`any of ${RUNS} orders ends in one final state, paid for exactly when it is completed`, {
  timeout: 60_000 + RUNS * 500,
}, async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      const { states, drift, spent, counted, used } = await play(steps);
      for (const [place, now] of states.entries()) {
        for (const [job, state] of now.entries()) {
          checkStep(state);
          const before = states[place - 1]?.[job];
          if (before && isFinal(before.status)) expect(state).toEqual(before);
          if (before?.status === 'processing') expect(state.status).not.toBe('pending');
        }
      }
      const last = states.at(-1) ?? [];
      expect(last.map(({ status }) => isFinal(status))).toEqual([true, true]);
      for (const { status } of last) seen.set(status, (seen.get(status) ?? 0) + 1);
      const completed = last.filter(({ status }) => status === 'completed').length;
      expect({ drift, spent, counted, used: used ?? 0 }).toEqual({
        drift: 0,
        spent: COST * completed,
        counted: 2,
        used: completed,
      });
    }),
    { numRuns: RUNS },
  );
  // Or it would prove little.
  for (const status of ['completed', 'failed', 'canceled']) expect(seen.get(status) ?? 0).toBeGreaterThan(RUNS / 20);
});
