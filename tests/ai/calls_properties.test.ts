/** Random lives of calls under one API key: whatever happens to them, in any order and repeated, the ledger agrees. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { adminPool } from '../support/stack.ts';

const RUNS = runs(40);
/** 0.01 credits a token of output; a fixed price; no message. */
const MODELS = ['priced', 'fixed', 'embedding'];

const tokens = fc.integer({ min: 0, max: 400 });
const which = fc.nat(7);
const step = fc.oneof(
  fc.record({ do: fc.constant('admit' as const), model: fc.constantFrom(...MODELS), limit: tokens }),
  fc.record({ do: fc.constant('extend' as const), call: which, tokens }),
  fc.record({
    do: fc.constant('finish' as const),
    call: which,
    ending: fc.constantFrom('success', 'failed', 'canceled'),
    tokens,
    isEmpty: fc.boolean(),
  }),
  fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(30, 200, 900) }),
  fc.record({ do: fc.constant('sweep' as const) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** One life, in a transaction that is rolled back. */
class Life {
  readonly id = randomUUID();
  readonly holds: string[] = [];
  seconds = 0;

  constructor(private readonly client: pg.PoolClient) {}

  async begin(): Promise<void> {
    await this.client.query('begin');
    await this.client.query(`insert into auth.users (id, email) values ($1::uuid, $1::uuid || '@example.test')`, [
      this.id,
    ]);
    await this.client.query(`update public.workspaces set plan = 'enterprise' where id = $1`, [this.id]);
    await this.client.query(`
      insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request, scene) values
        ('priced', 'P', 'up', 300, null, 'text_chat'), ('fixed', 'F', 'up', 300, 0.5, 'text_chat'), ('embedding', 'E', 'up', 0, 0.1, 'embedding');
      select private.set_model_price(m, '{"input": 0, "output": 100}', '2020-01-01') from unnest(array['priced', 'fixed', 'embedding']) m`);
    await this.client.query(`select public.credit_user_credits_transaction($1, 5, 'manual')`, [this.id]);
    await this.client.query(
      `with key as (
         insert into public.api_keys (workspace_id, user_id, name, prefix, budget, period_budget, budget_period)
         values ($1::uuid, $1::uuid, 'k', 'sk-', 6, 4, 'day') returning id
       ) insert into private.api_key_hashes (key_hash, api_key_id) select sha256(convert_to(($1::uuid)::text, 'UTF8')), id from key`,
      [this.id],
    );
  }

  async take(step: Step): Promise<void> {
    if (step.do === 'wait') this.seconds += step.seconds;
    else if (step.do === 'sweep') await this.client.query(`select private.run_due_work(${this.now})`);
    else if (step.do === 'admit') {
      const { rows } = await this.client.query(
        `select public.admit_ai_call(null, $1, 10, $2, can_lower_output => true, at => ${this.now},
           api_key_hash => encode(sha256(convert_to($3, 'UTF8')), 'hex')) ->> 'hold_id' as hold`,
        [step.model, step.limit, this.id],
      );
      if (rows[0].hold) this.holds.push(rows[0].hold);
    } else {
      const hold = this.holds[step.call % Math.max(this.holds.length, 1)];
      if (!hold) return;
      if (step.do === 'extend')
        await this.client.query(`select public.extend_ai_call($1, 10, $2, at => ${this.now})`, [hold, step.tokens]);
      else
        await this.client.query(`select public.finish_ai_call($1, $2, 10, 0, $3, is_empty => $4, at => ${this.now})`, [
          hold,
          step.ending,
          step.tokens,
          step.isEmpty,
        ]);
    }
  }

  /** What must agree at any time; each figure as [one account of it, another]. */
  async figures(): Promise<Record<string, [unknown, unknown]>> {
    const { rows } = await this.client.query(
      `with holds as (select * from public.credit_holds where workspace_id = $1),
         logs as (select * from public.ai_usage_logs where workspace_id = $1),
         entries as (select * from public.credit_transactions where workspace_id = $1 and transaction_type = 'debit'),
         open_calls as (select c.*, h.amount from private.ai_calls c join holds h on h.id = c.hold_id)
       select (select count(*) from public.verify_credits($1)) as drift,
         (select count(*) from holds) as holds,
         (select count(*) from open_calls) + (select count(*) from logs where status <> 'refused') as calls,
         (select count(distinct hold_id) from logs where status <> 'refused') as logged,
         (select count(*) from logs where status <> 'refused') as log_rows,
         (select coalesce(-sum(amount), 0)::float8 from entries) as paid,
         (select coalesce(sum(credits_charged), 0)::float8 from logs) as charged,
         (select count(*) from entries) as entries,
         (select count(distinct hold_id) from entries) as entry_holds,
         (select k.credits_used::float8 from public.api_keys k where workspace_id = $1) as key_used,
         (select coalesce(sum(messages), 0)::integer from private.ai_request_counts where workspace_id = $1) as messages,
         (select count(*)::integer from open_calls where message_period is not null)
           + (select count(*)::integer from logs where status in ('success', 'canceled') and model <> 'embedding'
              and exists (select from holds h where h.id = logs.hold_id and h.state = 'settled')) as messages_counted,
         (select coalesce(sum(credits), 0)::float8 from public.ai_usage_statistics where workspace_id = $1) as in_statistics,
         (select coalesce(sum(total_requests), 0)::integer from public.ai_usage_statistics where workspace_id = $1) as requests,
         (select count(*)::integer from logs) as all_logs`,
      [this.id],
    );
    const f = rows[0];
    const round = (value: number) => Math.round(value * 1e6) / 1e6;
    return {
      drift: [f.drift, '0'],
      'every call is under way or logged': [f.calls, f.holds],
      'each is logged once': [f.logged, f.log_rows],
      'each is paid once': [f.entries, f.entry_holds],
      'what was charged was paid': [round(f.charged), round(f.paid)],
      'the key has used what was charged': [round(f.key_used), round(f.charged)],
      'messages are those under way and those that came to something': [f.messages, f.messages_counted],
      'statistics tell what was charged': [round(f.in_statistics), round(f.charged)],
      'statistics count every log row': [f.requests, f.all_logs],
    };
  }

  private get now(): string {
    return `'2026-11-10 10:00+00'::timestamptz + interval '${this.seconds} s'`;
  }
}

test(`the ledger agrees after each of ${RUNS} lives`, { timeout: 60_000 + RUNS * 300 }, async () => {
  const client = await adminPool.connect();
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        const life = new Life(client);
        try {
          await life.begin();
          for (const next of steps) await life.take(next);
          for (const [what, [one, other]] of Object.entries(await life.figures())) expect(one, what).toEqual(other);
        } finally {
          await client.query('rollback');
        }
      }),
      { numRuns: RUNS },
    );
  } finally {
    client.release();
  }
});
