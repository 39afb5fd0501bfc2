/** Function `sessions` over HTTP: a session from its start to its charge, and what callers are told on the way. */
import { randomUUID } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { logsOf, newKey, newModel, newProvider, seenBySimulator, walletOf } from '../ai/helpers.ts';
import { env, sql } from '../support/stack.ts';
import {
  type Analysis,
  type Answer,
  analyse,
  bookedOf,
  call,
  feesOf,
  newSpeaker,
  newSteeredModel,
  openHoldsOf,
  outcome,
  says,
  start,
} from './http_helpers.ts';

/** A rate that charges what a short test uses: time hardly passes in it. */
async function rateOf(workspace: string, rows: object[]) {
  await sql(`select public.set_credit_rate($1::jsonb, $2)`, [JSON.stringify(rows), workspace]);
}

test('a session of 30 analyses, repeated, late and failing, is the sum of its logs and is charged once', async () => {
  const speaker = await newSpeaker();
  await rateOf(speaker.id, [
    { unit: 'analysis', credits: 0.25 },
    { unit: 'thousand_tokens', credits: 0.1 },
    { unit: 'fixed', credits: 1 },
  ]);
  const model = await newModel({ max_output_tokens: 4000 });
  const failing = await newSteeredModel({ error: 400 });
  const session = await start(speaker, { mode: 'lesson', started_at: new Date().toISOString() });
  const before = await walletOf(speaker);
  const levels = ['green', 'yellow', 'red'];
  const directive = (n: number) => ({ members: { safety_level: levels[n % 3], severity: (n % 3) + 1 } });
  const segment = (n: number) => ({ transcript_segment: says(directive(n), `Segment ${n}.`) });
  /** One segment as a client with a bad line has it analysed: it fails, comes twice at once, comes again. */
  const speak = async (n: number) => {
    if (n % 7 === 0) expect(outcome(await analyse(speaker, session, n, failing, segment(n)))).toMatch(/^400/);
    const tries = await Promise.all(
      Array.from({ length: n % 4 === 0 ? 2 : 1 }, () => analyse(speaker, session, n, model, segment(n))),
    );
    const answers = tries.filter(({ status }) => status === 200);
    const others = tries.filter(({ status }) => status !== 200);
    expect(answers.length).toBeGreaterThan(0);
    for (const other of others) {
      expect(outcome(other)).toBe('409 analysis_running');
      expect(other.headers.get('retry-after')).toBe('1');
    }
    if (n % 5 === 0) answers.push(await analyse(speaker, session, n, model, segment(n)));
    for (const { analysis } of answers) expect(analysis).toEqual(answers[0]?.analysis);
    if (n % 11 === 0) {
      const other = await analyse(speaker, session, n, model, { transcript_segment: 'Something else.' });
      expect(outcome(other)).toBe('409 idempotency_conflict');
    }
    return answers[0]?.analysis;
  };
  // Late: the even ones come after the odd ones, five at a time.
  const numbers = Array.from({ length: 30 }, (_, at) => at + 1).sort((a, b) => (b % 2) - (a % 2) || a - b);
  const analyses = new Map<number, Answer['analysis'] | undefined>();
  for (let at = 0; at < numbers.length; at += 5) {
    await Promise.all(numbers.slice(at, at + 5).map(async (n) => analyses.set(n, await speak(n))));
  }
  expect((await walletOf(speaker))?.balance).toBe(before?.balance); // no credits moved
  expect(analyses.get(5)).toMatchObject({ sequence_number: 5, safety_level: 'red', severity: 3 });

  const ends = await Promise.all([1, 2].map(() => call(speaker, 'PATCH', `/${session}/complete`, {})));
  expect(ends.map(outcome)).toEqual(['200', '200']);
  expect(ends[0]?.session).toEqual(ends[1]?.session);
  expect(ends[0]?.usage).toEqual(ends[1]?.usage);
  const { row, logs } = await bookedOf(session);
  expect(logs).toMatchObject({ analyses: 30 });
  expect(row).toMatchObject({ status: 'completed', credit_deducted: true, drift: 0, ...logs, duration: row?.duration });
  expect(row?.duration).toBeCloseTo(logs?.duration + row?.tail, 3);
  const fees = await feesOf(speaker.id);
  expect(fees).toEqual([{ amount: -row?.consumed }]);
  expect(row?.consumed).toBeCloseTo(30 * 0.25 + ((row?.prompt + row?.completion) / 1000) * 0.1 + 1, 6);
  expect((await walletOf(speaker))?.balance).toBeCloseTo((before?.balance ?? 0) - row?.consumed, 6);
  const [logged] = await sql(
    `select count(*) filter (where credits_charged > 0)::int as charged, sum(credits_charged)::float8 as credits,
       count(*) filter (where status = 'success' and scene = 'session_analysis' and credits_charged = 0)::int as analyses,
       count(*) filter (where status = 'failed')::int as failed,
       count(*) filter (where status not in ('success', 'failed'))::int as others
     from private.ai_usage_logs where workspace_id = $1`,
    [speaker.id],
  );
  expect(logged).toEqual({ charged: 1, credits: row?.consumed, analyses: 30, failed: 4, others: 0 });

  // What is read over HTTP is the same.
  const whole = await call(speaker, 'GET', `/${session}`);
  expect(whole.session).toEqual(ends[0]?.session);
  expect(whole.usage).toEqual(ends[0]?.usage);
  expect(whole.usage).toMatchObject({ analysis_count: 30, red_count: 10, yellow_count: 10, green_count: 10 });
  const listed: Analysis[] = [];
  for (let page = ''; ; ) {
    const { data, has_more } = (await call(speaker, 'GET', `/${session}/analysis-logs?limit=7${page}`))
      .body as unknown as { data: Analysis[]; has_more: boolean };
    listed.push(...data);
    expect(data.length).toBe(has_more ? 7 : 2);
    if (!has_more) break;
    page = `&before_number=${data.at(-1)?.sequence_number}`;
  }
  expect(listed).toEqual(numbers.toSorted((a, b) => b - a).map((n) => analyses.get(n)));
  const shares = (await call(speaker, 'GET', `/${session}/safety-distribution`)).body;
  expect(shares).toEqual({
    ...{ red_count: 10, yellow_count: 10, green_count: 10, total_count: 30 },
    ...{ red_percentage: 33.33, yellow_percentage: 33.34, green_percentage: 33.33 },
  });
  expect((await call(speaker, 'GET', '/usage-stats')).body).toEqual({
    ...{ total_sessions: 1, total_analysis_count: 30, total_duration_seconds: row?.duration },
    ...{ total_tokens: row?.prompt + row?.completion, total_cost_usd: expect.closeTo(row?.cost, 9) },
    total_credits_consumed: row?.consumed,
  });
});

test('the same start, pause and end are answered the same, another one is a conflict', async () => {
  const speaker = await newSpeaker();
  const body = { client_id: randomUUID(), mode: 'call', metadata: { room: 7 } };
  const [first, second] = await Promise.all([call(speaker, 'POST', '', body), call(speaker, 'POST', '', body)]);
  expect([first?.status, second?.status].sort()).toEqual([200, 201]);
  expect(first?.session.id).toBe(second?.session.id);
  expect(first?.session).toMatchObject({ status: 'in_progress', mode: 'call', metadata: { room: 7 } });
  expect(outcome(await call(speaker, 'POST', '', { ...body, mode: 'lesson' }))).toBe('409 idempotency_conflict');
  const path = `/${first?.session.id}`;
  expect((await call(speaker, 'POST', `${path}/pause`)).session.status).toBe('paused');
  expect((await call(speaker, 'POST', `${path}/pause`)).session.status).toBe('paused');
  expect((await call(speaker, 'POST', `${path}/resume`)).session.status).toBe('in_progress');
  const end = await call(speaker, 'POST', `${path}/fail`, { error_message: 'The line went dead.' });
  expect(end.session).toMatchObject({ status: 'failed', error_message: 'The line went dead.' });
  expect(outcome(await call(speaker, 'POST', `${path}/resume`))).toBe('409 invalid_state');
  expect(outcome(await analyse(speaker, `${first?.session.id}`, 1, await newModel()))).toBe('409 invalid_state');
});

test('an end that its client says is of before the start is a clock, and no time', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker, { started_at: new Date().toISOString() });
  const ended_at = new Date(Date.now() - 30_000).toISOString();
  const end = await call(speaker, 'PATCH', `/${session}/complete`, { ended_at });
  expect([outcome(end), end.session.status, end.usage.duration_seconds]).toEqual(['200', 'completed', 0]);
  const again = await call(speaker, 'PATCH', `/${session}/complete`, { ended_at: '2020-01-01T00:00:00Z' });
  expect(again.usage).toEqual(end.usage);
});

test('an API key works for its workspace, and a request is found again by its id', async () => {
  const speaker = await newSpeaker();
  const { key } = await newKey(speaker);
  const session = await start({ key });
  const answer = await analyse({ key }, session, 1, await newModel());
  expect(outcome(answer)).toBe('200');
  const id = answer.headers.get('x-request-id');
  const rows = await sql(`select scene, status from private.ai_usage_logs where request_id = $1`, [id]);
  expect(rows).toEqual([{ scene: 'session_analysis', status: 'success' }]);
  expect(answer.headers.get('access-control-allow-origin')).toBe('*');
});

test('an answer that is no verdict is asked for once more, and both are counted', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const key = randomUUID();
  const model = await newSteeredModel({ key, off_schema: true, times: 1 });
  const answer = await analyse(speaker, session, 1, model);
  expect(outcome(answer)).toBe('200');
  const { count, requests } = await seenBySimulator(key);
  expect(count).toBe(2);
  const tokens = requests.reduce((sum, one) => sum + one.tokens_delivered, 0);
  expect(answer.analysis.completion_tokens).toBe(tokens);
  const messages = requests[1]?.body.messages as { role: string; content: string }[];
  expect(messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user']);
});

test('a model that twice gives no verdict is a clear failure, and the number can be sent again', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const key = randomUUID();
  const failed = await analyse(speaker, session, 1, await newSteeredModel({ key, off_schema: true }));
  expect(outcome(failed)).toBe('502 upstream_error');
  expect(failed.error.message).toContain('no valid verdict');
  expect((await seenBySimulator(key)).count).toBe(2);
  expect((await bookedOf(session)).logs).toMatchObject({ analyses: 0 });
  expect(outcome(await analyse(speaker, session, 1, await newModel()))).toBe('200');
  const rows = await sql(
    `select status, credits_charged::float8 as credits, prompt_tokens > 0 as used,
       attempts::text ~ '"said"' as said from private.ai_usage_logs where workspace_id = $1 order by created_at`,
    [speaker.id],
  );
  expect(rows).toEqual([
    { status: 'failed', credits: 0, used: true, said: false },
    { status: 'success', credits: 0, used: true, said: false },
  ]);
});

test.each([
  ['nonsense', { text: 'I would say it is fine.' }, '502 upstream_error'],
  ['an empty answer', { empty: true }, '502 upstream_error'],
  ['JSON that is cut off', { output_tokens: 3 }, '502 upstream_error'],
  ['another number than there is', { members: { severity: 4 } }, '502 upstream_error'],
  ['a level that does not exist', { members: { safety_level: 'purple' } }, '502 upstream_error'],
  ['a body that is no JSON', { malformed: true }, '502 upstream_error'],
  ['a connection that breaks', { cut_after: 0 }, '502 upstream_error'],
  ['status 500', { error: 500 }, '502 upstream_error'],
  ['too many requests', { error: 429 }, '502 upstream_error'],
  ['a refusal of the request', { error: 400 }, '400 invalid_request'],
  ['a refusal of the model', { refusal: 'I will not.' }, '400 content_policy_violation'],
])('of a provider that answers with %s nothing is counted', async (_, directive, expected) => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const answer = await analyse(speaker, session, 1, await newSteeredModel(directive));
  expect(outcome(answer)).toBe(expected);
  const { row, logs } = await bookedOf(session);
  expect([row?.analyses, logs?.analyses, row?.drift]).toEqual([0, 0, 0]);
  expect(await walletOf(speaker)).toMatchObject({ spent: 0 });
});

test('of a provider that is silent nothing is counted, also where it is asked for the second time', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const provider = await newProvider({ timeout_ms: 300, max_retries: 0 });
  const silent = await newSteeredModel({ delay_ms: 3_000 }, { provider });
  expect(outcome(await analyse(speaker, session, 1, silent))).toBe('504 upstream_timeout');
  // What steers the first try is in the segment, which the second one's last message is not.
  const slowLater = { transcript_segment: says({ off_schema: true, delay_ms: 0 }) };
  expect(outcome(await analyse(speaker, session, 1, silent, slowLater))).toBe('504 upstream_timeout');
  const { row, logs } = await bookedOf(session);
  expect([row?.analyses, logs?.analyses, row?.drift]).toEqual([0, 0, 0]);
  expect(await openHoldsOf(speaker)).toHaveLength(1); // the session's own
  const calls = await logsOf(speaker);
  expect(calls).toMatchObject([1, 2].map(() => ({ status: 'failed', error_code: 'upstream_timeout' })));
  expect(outcome(await analyse(speaker, session, 1, await newModel()))).toBe('200');
});

test('what is analysed while its session ends is not counted, and the charge is that of what was', async () => {
  const speaker = await newSpeaker();
  await rateOf(speaker.id, [{ unit: 'analysis', credits: 2 }]);
  const session = await start(speaker);
  expect(outcome(await analyse(speaker, session, 1, await newModel()))).toBe('200');
  const model = await newSteeredModel({ delay_ms: 1_000 });
  const slow = analyse(speaker, session, 2, model);
  await vi.waitFor(async () => expect((await openHoldsOf(speaker)).length).toBe(2));
  expect(outcome(await analyse(speaker, session, 2, model))).toBe('409 analysis_running');
  const end = await call(speaker, 'PATCH', `/${session}/complete`, {});
  expect(end.usage).toMatchObject({ analysis_count: 1, credits_consumed: 2 });
  expect(outcome(await slow)).toBe('409 invalid_state');
  const { row, logs } = await bookedOf(session);
  expect([row?.analyses, logs?.analyses, row?.consumed, row?.drift]).toEqual([1, 1, 2, 0]);
  expect(await feesOf(speaker.id)).toEqual([{ amount: -2 }]);
  expect(await openHoldsOf(speaker)).toEqual([]);
});

test('an analysis whose client has left is counted, and found again by its number', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const model = await newSteeredModel({ delay_ms: 500 });
  const leaving = new AbortController();
  const segment = { sequence: 1, model, transcript_segment: 'Are you there?', duration_seconds: 10 };
  const left = fetch(`${env.FUNCTIONS_URL}/sessions/${session}/analyze-partial`, {
    method: 'POST',
    headers: { authorization: `Bearer ${speaker.accessToken}` },
    body: JSON.stringify(segment),
    signal: leaving.signal,
  });
  await vi.waitFor(async () => expect((await openHoldsOf(speaker)).length).toBe(2));
  leaving.abort();
  await expect(left).rejects.toThrow();
  await vi.waitFor(async () => expect((await bookedOf(session)).row?.analyses).toBe(1), { timeout: 5_000 });
  const again = await call(speaker, 'POST', `/${session}/analyze-partial`, segment);
  expect(outcome(again)).toBe('200');
  expect(again.analysis).toMatchObject({ sequence_number: 1 });
  expect((await bookedOf(session)).row?.analyses).toBe(1);
});
