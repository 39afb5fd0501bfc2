/** Sessions straight in the database: who has them, their rpcs as statements, time that passes, and what must agree of them. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { adminPool, sql } from '../support/stack.ts';
import { newAccounts } from '../support/wallets.ts';

/** A row of a rate, as `set_credit_rate` takes it. */
export type RateRow = {
  unit: 'minute' | 'analysis' | 'thousand_tokens' | 'fixed' | 'audio_second' | 'character';
  credits: number;
  minimum?: number;
  rounding?: 'second' | 'started_minute';
  charges_unfinished?: boolean;
};

/** A literal; null for what is not given. */
export const quoted = (value: unknown): string => {
  if (value === undefined || value === null) return 'null';
  return `'${(typeof value === 'object' ? JSON.stringify(value) : String(value)).replaceAll("'", "''")}'`;
};

/** Offers a model that analyses sessions, at a dollar per million tokens, and gives its name. */
export async function offerAnalyses(): Promise<string> {
  const model = `analysis-${randomUUID()}`;
  await sql(
    `with made as (
       insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens)
       values ($1, $1, 'session_analysis', 'up', 1000) returning model
     ) select private.set_model_price(model, '{"input": 1, "output": 1}', '2020-01-01') from made`,
    [model],
  );
  return model;
}

/** People of plan enterprise with so many credits each, whose sessions have this rate. */
export async function newSpeakers(count: number, balance: number, rate: RateRow[]): Promise<string[]> {
  const people = await newAccounts(count, balance);
  await sql(`update public.workspaces set plan = 'enterprise' where id = any ($1)`, [people]);
  if (rate.length > 0)
    await sql('select public.set_credit_rate($2, workspace_id) from unnest($1::uuid[]) workspace_id', [
      people,
      JSON.stringify(rate),
    ]);
  return people;
}

/** A session by its person and the client's reference; null where it has not started. */
export const sessionOf = (person: string, client: string | number): string =>
  `(select id from public.sessions where workspace_id = '${person}' and client_id = '${client}')`;

/** An rpc's call, with its named arguments as SQL. */
function rpc(name: string, args: Record<string, string | undefined>): string {
  const given = Object.entries(args).flatMap(([key, value]) => (value === undefined ? [] : [`${key} => ${value}`]));
  return `select public.${name}(${given.join(', ')}) as answer`;
}

/** Starts a session; `at` and `startedAt` are SQL. */
export const startOf = (
  person: string,
  client: string | number,
  { policy, at, startedAt, workspace }: { policy?: string; at?: string; startedAt?: string; workspace?: string } = {},
): string =>
  rpc('start_session', {
    user_id: quoted(person),
    client_id: quoted(client),
    policy: policy && quoted(policy),
    workspace_id: workspace && quoted(workspace),
    started_at: startedAt,
    at,
  });

/** A segment that is to be analysed; `startedAt` is SQL. */
export type Segment = { sequence: number; seconds: number; characters?: number; startedAt?: string; hash?: string };

/** Asks for an analysis of a segment, of so many tokens in and at most as many out. `session` and `at` are SQL. */
export const admitOf = (
  person: string,
  session: string,
  model: string,
  { sequence, seconds, characters = 100, startedAt = 'null', hash = 'hash' }: Segment,
  at?: string,
  tokens = 100,
): string =>
  rpc('admit_session_analysis', {
    session_id: session,
    user_id: quoted(person),
    sequence_number: `${sequence}`,
    request_hash: quoted(hash),
    segment: `jsonb_strip_nulls(jsonb_build_object('characters', ${characters}, 'duration_seconds', ${seconds}, 'started_at', ${startedAt}))`,
    model: quoted(model),
    input_tokens: `${tokens}`,
    max_output_tokens: `${tokens}`,
    request_id: quoted(randomUUID()),
    at,
  });

/** Ends an analysis that was admitted. */
export const finishOf = (
  hold: string,
  { ending = 'success', tokens = 50, level = 'green' }: { ending?: string; tokens?: number; level?: string } = {},
  at?: string,
): string =>
  rpc('finish_session_analysis', {
    hold_id: quoted(hold),
    ending: quoted(ending),
    prompt_tokens: `${tokens}`,
    cached_tokens: '10',
    completion_tokens: `${tokens}`,
    verdict: ending === 'success' ? quoted({ safety_level: level, severity: 1, display_text: 'Fine.' }) : undefined,
    at,
  });

/** Pauses, resumes or ends a session. */
export const moveOf = (
  verb: 'pause' | 'resume' | 'complete' | 'cancel' | 'fail',
  person: string,
  session: string,
  { at, endedAt }: { at?: string; endedAt?: string } = {},
): string => rpc(`${verb}_session`, { session_id: session, user_id: quoted(person), ended_at: endedAt, at });

/**
 * Lets time pass for the sessions of a person that have not ended: everything that is known of them is so many seconds
 * longer ago. Only for a superuser.
 */
export const ageOf = (person: string, seconds: number): string => {
  const earlier = (...columns: string[]) => columns.map((c) => `${c} = ${c} - interval '${seconds} s'`).join(', ');
  const running = `(select id from public.sessions where workspace_id = '${person}' and ended_at is null)`;
  const moved = (place: string) => `to_jsonb((h.work #>> '{${place}}')::timestamptz - interval '${seconds} s')`;
  return `
    select from public.credit_wallets where workspace_id = '${person}' for no key update;
    set local session_replication_role = replica;
    update private.credit_holds h set ${earlier('created_at', 'expires_at')}, work = case when h.work is not null then
      jsonb_set(jsonb_set(jsonb_set(h.work, '{details,segment,heard_at}', ${moved('details,segment,heard_at')}),
        '{heard_at}', ${moved('heard_at')}), '{started_at}', ${moved('started_at')}) end
    where h.workspace_id = '${person}' and h.state = 'open' and (h.metadata ->> 'session_id')::uuid in ${running};
    update private.session_spans set ${earlier('starts_at', 'ends_at')} where session_id in ${running};
    update private.session_work set ${earlier('active_until', 'warned_at', 'due_at')} where session_id in ${running};
    update public.session_usage set ${earlier('started_at')} where session_id in ${running};
    update public.sessions set ${earlier('created_at', 'started_at', 'last_heard_at', 'paused_at')} where id in ${running};
    set local session_replication_role = origin; select`;
};

/** Has the sweep look at every session of these people that has not ended, until none is due. */
export async function sweep(people: string[]): Promise<void> {
  await adminPool.query(
    `update private.session_work set due_at = '2020-01-01' where workspace_id = any ($1) and due_at is not null`,
    [people],
  );
  for (let more = true; more; ) {
    more = (await sql<{ more: boolean }>('select private.watch_next_session(clock_timestamp()) as more'))[0]
      ?.more as boolean;
  }
}

/** What a usage costs by a rate, computed without the database's function. */
export function chargeFor(rate: RateRow[], usage: Record<string, unknown>, isUnfinished = false): number {
  const n = (name: string) => Number(usage[name]);
  let charge = 0;
  for (const { unit, credits, minimum = 0, rounding = 'second', charges_unfinished = false } of rate) {
    if (isUnfinished && !charges_unfinished) continue;
    const minutes = n('duration_seconds') / 60;
    const quantity = {
      minute: rounding === 'second' ? minutes : Math.ceil(minutes - 1e-9),
      analysis: n('analysis_count'),
      thousand_tokens: (n('total_prompt_tokens') + n('total_completion_tokens')) / 1000,
      fixed: 1,
      audio_second: n('audio_seconds'),
      character: n('characters'),
    }[unit];
    if (quantity > 0) charge += Math.max(quantity * credits, minimum);
  }
  return Math.round(charge * 1e6) / 1e6;
}

/** What is wrong with the sessions of these people, as sentences; nothing where their figures agree. */
export async function faultsOf(people: string[], client?: pg.ClientBase): Promise<string[]> {
  const { rows } = await (client ?? adminPool).query<{ fault: string }>(
    `with mine as (select s.*, w.hold_id, w.clock_offset from public.sessions s join private.session_work w on w.session_id = s.id
         where s.workspace_id = any ($1)),
       logs as (select l.session_id, count(*) as analyses, sum(l.duration_seconds) as duration, sum(l.audio_seconds) as audio,
           sum(l.transcript_length) as characters, sum(l.prompt_tokens) as prompt, sum(l.completion_tokens) as completion,
           sum(l.cached_tokens) as cached, sum(l.estimated_cost_usd) as cost, count(*) filter (where l.safety_level = 'red') as red,
           count(*) filter (where l.safety_level = 'yellow') as yellow, count(*) filter (where l.safety_level = 'green') as green
         from public.session_analysis_logs l join mine m on m.id = l.session_id group by l.session_id),
       spans as (select s.session_id, sum(extract(epoch from s.ends_at - s.starts_at)) filter (where not s.is_pause) as active,
           coalesce(sum(extract(epoch from s.ends_at - s.starts_at)) filter (where s.is_pause), 0) as paused,
           min(s.starts_at) as first, max(s.ends_at) as last
         from private.session_spans s join mine m on m.id = s.session_id group by s.session_id),
       debits as (select t.hold_id, count(*) as entries, -sum(t.amount) as amount from public.credit_transactions t
         where t.workspace_id = any ($1) and t.transaction_type = 'debit' and t.amount <> 0 group by t.hold_id),
       charges as (select l.hold_id, count(*) as rows, sum(l.credits_charged) as amount from private.ai_usage_logs l
         where l.workspace_id = any ($1) and l.model = 'session' group by l.hold_id)
     select format('session %s (%s): %s', m.id, m.status, fault) as fault
     from mine m join public.session_usage u on u.session_id = m.id
       left join logs l on l.session_id = m.id left join spans p on p.session_id = m.id
       left join debits d on d.hold_id = m.hold_id left join charges c on c.hold_id = m.hold_id
     cross join lateral (values
       ('its usage is not the sum of its logs', (u.analysis_count, u.audio_seconds, u.characters, u.total_prompt_tokens,
           u.total_completion_tokens, u.total_cached_tokens, u.estimated_cost_usd, u.red_count, u.yellow_count, u.green_count)
         is distinct from (coalesce(l.analyses, 0), coalesce(l.audio, 0), coalesce(l.characters, 0), coalesce(l.prompt, 0),
           coalesce(l.completion, 0), coalesce(l.cached, 0), coalesce(l.cost, 0), coalesce(l.red, 0), coalesce(l.yellow, 0),
           coalesce(l.green, 0))),
       (format('its duration %s is not that of its logs %s and its tail %s', u.duration_seconds, l.duration, u.tail_seconds),
         u.duration_seconds <> coalesce(l.duration, 0) + u.tail_seconds),
       (format('its duration %s is not that of its spans %s', u.duration_seconds, p.active),
         abs(u.duration_seconds - coalesce(p.active, 0)) > 0.001 * (coalesce(l.analyses, 0) + 3)),
       ('spans overlap', exists (select from private.session_spans a join private.session_spans b on b.session_id = a.session_id
           and (b.is_pause, b.starts_at) > (a.is_pause, a.starts_at) and b.starts_at < a.ends_at and a.starts_at < b.ends_at
         where a.session_id = m.id)),
       ('spans of a kind touch', exists (select from private.session_spans a join private.session_spans b
           on b.session_id = a.session_id and b.is_pause = a.is_pause and b.starts_at = a.ends_at where a.session_id = m.id)),
       (format('spans %s to %s are beyond its time %s to %s', p.first, p.last, m.started_at, m.ended_at),
         p.first < m.started_at or p.last > coalesce(m.ended_at, greatest(m.last_heard_at, clock_timestamp()))),
       ('its duration is longer than its clock without its pauses', u.duration_seconds - 0.001 * (coalesce(l.analyses, 0) + 3) >
         extract(epoch from coalesce(m.ended_at, m.paused_at, greatest(m.last_heard_at, clock_timestamp())) - m.started_at)
           - coalesce(p.paused, 0)),
       ('it ended later than it was charged', m.ended_at > u.credit_deducted_at),
       ('its usage has another status', u.status <> m.status),
       ('it is charged and goes on, or has ended without', u.credit_deducted <> (m.ended_at is not null)),
       (format('it was charged %s in %s entries', d.amount, d.entries), d.entries > 1),
       (format('its charge %s is not its entry %s', u.credits_consumed, d.amount),
         m.ended_at is not null and u.credits_consumed <> coalesce(d.amount, 0)),
       ('it was charged before its end', m.ended_at is null and d.entries > 0),
       (format('its log rows are %s, of %s credits', c.rows, c.amount),
         (coalesce(c.rows, 0), coalesce(c.amount, 0)) is distinct from (case when m.ended_at is null then 0 else 1 end,
           case when m.ended_at is null then 0 else u.credits_consumed end)),
       ('its hold is open after its end', m.ended_at is not null
         and exists (select from private.credit_holds h where h.id = m.hold_id and h.state = 'open')),
       -- What a soft session took beyond the credits may be missed where the next one is settled.
       ('a debt was made on hard', m.policy = 'hard' and u.credits_consumed > 0 and exists (
           select from public.credit_transactions t where t.hold_id = m.hold_id and t.balance_after < 0)
         and not exists (select from mine o where o.workspace_id = m.workspace_id and o.policy = 'soft'))
     ) f (fault, is_so) where f.is_so
     union all select format('the ledger: %s', to_jsonb(v)) from unnest($1::uuid[]) id, public.verify_credits(id) v`,
    [people],
  );
  return rows.map(({ fault }) => fault);
}
