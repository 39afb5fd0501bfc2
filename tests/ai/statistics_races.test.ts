/** Log rows of one person and day from many sessions at once, while the statistics are made anew. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { callAtOnce, hangUp, inTurn, openCallers } from '../support/callers.ts';
import { sql } from '../support/stack.ts';
import { newAccount } from '../support/wallets.ts';
import { newModel } from './helpers.ts';

test('each row counts once', async () => {
  const account = await newAccount(3);
  const callers = await openCallers(20, 'postgres');
  const log = (number: number) => `
    insert into private.ai_usage_logs (workspace_id, user_id, created_at, status, scene, model, prompt_tokens, credits_charged, estimated_cost, duration)
    select '${account}', '${account}', '2026-03-01', 'success', 'text_chat', 'model-${number % 3}', 1, 0.5, 0.01, 10 from generate_series(1, 2)`;
  const rebuild = `select public.rebuild_usage_statistics('2026-03-01', '2026-03-01')`;
  const outcomes = await callAtOnce(
    Array.from({ length: 200 }, (_, number) => ({
      by: inTurn(callers, number),
      statement: number % 40 === 7 ? rebuild : log(number),
    })),
  );
  await hangUp(callers);
  expect(outcomes.filter((outcome) => 'error' in outcome)).toEqual([]);
  const [row] = await sql(
    `select total_requests, success_requests, total_tokens::integer as tokens, credits::float8 as credits, total_duration::integer as duration,
       (select sum((value ->> 'requests')::integer)::integer from jsonb_each(model_stats)) as by_model
     from public.ai_usage_statistics where workspace_id = $1`,
    [account],
  );
  expect(row).toEqual({
    total_requests: 390,
    success_requests: 390,
    tokens: 390,
    credits: 195,
    duration: 3900,
    by_model: 390,
  });
});

test('a call made elsewhere is recorded and charged once, however many say it at once', async () => {
  const account = await newAccount(3);
  const model = await newModel({ credits_per_request: 1 });
  const callers = await openCallers(20);
  const id = randomUUID();
  const outcomes = await callAtOnce(
    Array.from({ length: 20 }, (_, number) => ({
      by: inTurn(callers, number),
      statement: `select to_jsonb(public.record_ai_usage('${account}', '${model}', '${id}', 10, charge => true)) ->> 'recorded' as recorded`,
    })),
  );
  await hangUp(callers);
  expect(outcomes.filter((outcome) => 'row' in outcome && outcome.row.recorded === 'true')).toHaveLength(1);
  expect(outcomes.filter((outcome) => 'row' in outcome && outcome.row.recorded === 'false')).toHaveLength(19);
  const [ledger] = await sql(
    `select (select credits_spent::float8 from public.credit_wallets where workspace_id = $1) as spent,
       (select count(*)::integer from public.ai_usage_logs where workspace_id = $1) as logs`,
    [account],
  );
  expect(ledger).toEqual({ spent: 1, logs: 1 });
});
