/** Calls whose time is up, and functions that are killed: on a stack of its own, for it is told to be impatient. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type OwnStack, startOwnStack } from '../support/own-stack.ts';

let own: OwnStack;
let rows: OwnStack['rows'];

beforeAll(async () => {
  own = await startOwnStack(1000);
  rows = own.rows;
  // 0.01 credits a token of output; a token is four bytes to the simulator and to an estimate alike.
  await rows(`
    insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'simulator-chat', 100);
    select private.set_model_price('test', '{"input": 0, "output": 100}', '2020-01-01')`);
}, 120_000);
afterAll(() => own?.stop(), 60_000);

function call(directive: object, stream: boolean, reference = randomUUID(), key?: string) {
  return fetch(`${own.stack.env.FUNCTIONS_URL}/ai/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${own.person.token}`,
      'x-ai-reference': reference,
      ...(key ? { 'idempotency-key': key } : {}),
    },
    body: JSON.stringify({
      model: 'test',
      stream,
      messages: [{ role: 'user', content: `Hello [[simulate:${JSON.stringify(directive)}]]` }],
    }),
  });
}

async function logOf(reference: string) {
  return rows('select * from public.ai_usage_logs where reference_id = $1', [reference]);
}

test('a call ends before its time is up: what a stream brought is charged, an answer that did not come is not', async () => {
  await rows(`update public.system_config set config_value = '2' where config_key = 'ai_call_timeout_seconds'`);
  const streamed = randomUUID();
  const whole = randomUUID();
  const endless = { text: ' the'.repeat(90), chunk_delay_ms: 100 };
  const [stream, answer] = await Promise.all([
    call(endless, true, streamed).then((response) => response.text()),
    call({ delay_ms: 10_000 }, false, whole).then(async (response) => [response.status, await response.json()]),
  ]);
  await rows(`update public.system_config set config_value = '140' where config_key = 'ai_call_timeout_seconds'`);
  expect(stream).toContain('"finish_reason":"length"');
  expect(stream).toMatch(/data: \[DONE\]\n\n$/);
  const tokens = stream.split('"content":" the"').length - 1;
  expect(await logOf(streamed)).toMatchObject([
    { status: 'success', error_code: 'cut_off', usage_source: 'counted', completion_tokens: tokens },
  ]);
  expect(answer).toMatchObject([504, { error: { code: 'upstream_timeout' } }]);
  expect(await logOf(whole)).toMatchObject([{ status: 'failed', credits_charged: '0.000000' }]);
});

test('functions killed under load: the sweep brings every call to rest, none is charged twice or for nothing', {
  timeout: 60_000,
}, async () => {
  // A stream long enough to tell of itself (every 10 s), left when the functions die.
  const long = randomUUID();
  const endless = call({ text: ' the'.repeat(90), chunk_delay_ms: 400 }, true, long).then((answer) => answer.text());
  endless.catch(() => undefined);
  const told = async () => {
    const [row] = await rows(
      'select completion_tokens::integer as tokens from private.ai_calls where completion_tokens > 0',
    );
    expect(row?.tokens).toBeGreaterThan(0);
    return row?.tokens as number;
  };
  const toldTokens = await vi.waitFor(told, { timeout: 20_000, interval: 200 });

  const calls = Array.from({ length: 40 }, (_, index) => ({ reference: randomUUID(), stream: index % 2 === 0 }));
  const outcomes = new Map<string, 'answered' | 'broken'>();
  const work = calls.map(async ({ reference, stream }, index) => {
    await new Promise((resolve) => setTimeout(resolve, index * 20));
    const directive = { text: ' the'.repeat(20), ...(stream ? { chunk_delay_ms: 30 } : { delay_ms: 300 }) };
    const text = await call(directive, stream, reference)
      .then((answer) => answer.text())
      .catch(() => '');
    const isWhole = stream ? text.includes('data: [DONE]') : text.includes('"chat.completion"');
    outcomes.set(reference, isWhole ? 'answered' : 'broken');
  });
  await vi.waitFor(
    async () => expect([...outcomes.values()].filter((outcome) => outcome === 'answered').length).toBeGreaterThan(3),
    10_000,
  );
  process.kill(own.stack.pids().functions as number, 'SIGKILL');
  await Promise.all(work);
  await vi.waitFor(async () => expect((await call({}, false)).status).toBe(200), { timeout: 20_000, interval: 200 });

  const lost = await rows('select request_id from private.ai_calls');
  expect(lost.length).toBeGreaterThan(0); // some were under way
  // A sweep passes over a wallet that is in use, by the stack's own sweep too.
  await vi.waitFor(
    async () => {
      await rows(`select private.run_due_work(clock_timestamp() + interval '3 minutes')`);
      expect(await rows('select hold_id from private.ai_calls')).toEqual([]);
    },
    { timeout: 20_000, interval: 100 },
  );
  expect(await rows(`select * from public.credit_holds where state = 'open'`)).toEqual([]);
  expect(await rows('select * from public.verify_credits()')).toEqual([]);
  expect(await logOf(long)).toMatchObject([
    { status: 'canceled', error_code: 'call_lost', usage_source: 'estimated', completion_tokens: toldTokens },
  ]);
  expect(Number((await logOf(long))[0]?.credits_charged)).toBeCloseTo(toldTokens / 100, 6);
  for (const { reference } of calls) {
    const logs = await logOf(reference);
    if (outcomes.get(reference) === 'answered') {
      expect(logs).toMatchObject([{ status: 'success', credits_charged: '0.200000', completion_tokens: 20 }]);
    } else {
      // Killed before it was admitted, after it was settled, or between: then nothing was told of and nothing is charged.
      expect(logs.length).toBeLessThanOrEqual(1);
      if (logs[0]?.error_code === 'call_lost')
        expect(logs[0]).toMatchObject({ credits_charged: '0.000000', usage_source: 'none' });
    }
  }
  // Each is logged once: as lost, unless its settlement was on the way to Postgres when its function died.
  const endings = await rows(
    'select request_id, error_code from public.ai_usage_logs where request_id = any ($1::text[])',
    [lost.map(({ request_id }) => request_id)],
  );
  expect(endings.map(({ request_id }) => request_id).sort()).toEqual(lost.map(({ request_id }) => request_id).sort());
  expect(endings.map(({ error_code }) => error_code)).toContain('call_lost');
  const doubles = await rows(
    `select hold_id from public.credit_transactions where hold_id is not null group by hold_id having count(*) > 1`,
  );
  expect(doubles).toEqual([]);
});

test('200 callers of 4 connections are answered or told to come again; no call is lost or charged twice', {
  timeout: 60_000,
}, async () => {
  const answers = await Promise.all(
    Array.from({ length: 200 }, async () => {
      const reference = randomUUID();
      const response = await call({ output_tokens: 1 }, false, reference);
      const { error } = (await response.json()) as { error?: { code: string } };
      return { reference, told: [response.status, error?.code, response.headers.get('retry-after')] };
    }),
  );
  const answered = answers.filter(({ told }) => told[0] === 200);
  expect(answered).not.toEqual([]);
  for (const { told } of answers) if (told[0] !== 200) expect(told).toEqual([503, 'unavailable', '1']);
  const logs = await rows('select reference_id, status from public.ai_usage_logs where reference_id = any ($1)', [
    answers.map(({ reference }) => reference),
  ]);
  expect(logs.map(({ reference_id }) => reference_id).sort()).toEqual(
    answered.map(({ reference }) => reference).sort(),
  );
  expect(logs.filter(({ status }) => status !== 'success')).toEqual([]);
  const [left] = await rows(`select
    (select count(*)::integer from private.ai_calls) as calls,
    (select count(*)::integer from public.verify_credits()) as drift`);
  expect(left).toEqual({ calls: 0, drift: 0 });
});

test('Postgres and PostgREST down when answers come: the calls wait, are answered, settled, and their keys are free', {
  timeout: 60_000,
}, async () => {
  const answers = Array.from({ length: 6 }, (_, index) => {
    const reference = randomUUID();
    const directive = { text: ' the'.repeat(20), ...(index % 2 ? { chunk_delay_ms: 75 } : { delay_ms: 1_500 }) };
    return { reference, index, answer: call(directive, index % 2 === 1, reference, `outage-${index}`) };
  });
  await vi.waitFor(async () => {
    expect(await rows('select count(*)::integer as calls from private.ai_calls')).toEqual([{ calls: 6 }]);
  }, 10_000);
  process.kill(own.stack.pids().postgres as number, 'SIGKILL');
  process.kill(own.stack.pids().postgrest as number, 'SIGKILL');
  for (const { reference, index, answer } of answers) {
    const response = await answer;
    const text = await response.text();
    expect([index, response.status, text]).toEqual([
      index,
      200,
      expect.stringMatching(index % 2 ? /data: \[DONE\]\n\n$/ : /"chat.completion"/),
    ]);
    expect(await logOf(reference)).toMatchObject([{ status: 'success', credits_charged: '0.200000' }]);
  }
  const [left] = await rows(`select
    (select count(*)::integer from private.ai_calls) as calls,
    (select count(*)::integer from public.credit_holds where state = 'open') as holds,
    (select count(*)::integer from private.idempotent_requests where is_running) as keys,
    (select count(*)::integer from public.verify_credits()) as drift`);
  expect(left).toEqual({ calls: 0, holds: 0, keys: 0, drift: 0 });
});
