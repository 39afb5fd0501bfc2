/** Idempotency-Key: a call happens once. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { sql, type TestUser } from '../support/stack.ts';
import { AI_URL, logsOf, newCaller, newModel, seenBySimulator, simulate, walletOf } from './helpers.ts';

function call(user: TestUser, key: string, body: object) {
  return fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.accessToken}`, 'idempotency-key': key },
    body: JSON.stringify(body),
  });
}

test.each([false, true])(
  'a repeated request gets the first answer, and one call is made (stream: %s)',
  async (stream) => {
    const user = await newCaller();
    const seen = randomUUID();
    const body = {
      model: await newModel({ credits_per_request: 1 }),
      messages: simulate({ key: seen, text: 'once' }),
      stream,
    };
    const key = randomUUID();
    const first = await call(user, key, body);
    const again = await first
      .text()
      .then((text) => call(user, key, body).then(async (answer) => [text, answer] as const));
    const withoutComments = (text: string) => text.replaceAll(/^:.*\n\n/gm, '');
    expect(await again[1].text()).toBe(withoutComments(again[0]));
    expect(again[1].headers.get('content-type')).toBe(first.headers.get('content-type'));
    expect(again[1].headers.get('x-first-request-id')).toBe(first.headers.get('x-request-id'));
    expect((await seenBySimulator(seen)).count).toBe(1);
    expect((await walletOf(user))?.spent).toBe(1);
    expect(await logsOf(user)).toHaveLength(1);
  },
);

test('while the first runs, others get 409 with its id, however many there are', async () => {
  const user = await newCaller();
  const seen = randomUUID();
  const body = { model: await newModel({ credits_per_request: 1 }), messages: simulate({ key: seen, delay_ms: 3000 }) };
  const answers = await Promise.all(Array.from({ length: 20 }, () => call(user, 'the same', body)));
  const first = answers.find(({ status }) => status === 200);
  const others = answers.filter(({ status }) => status === 409);
  expect(others).toHaveLength(19);
  for (const other of others) {
    expect(other.headers.get('retry-after')).toBe('1');
    const { error } = (await other.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe('idempotency_conflict');
    expect(error.message).toContain(first?.headers.get('x-request-id'));
  }
  expect((await seenBySimulator(seen)).count).toBe(1);
});

test('another request under the same key gets 409, and no retry is advised', async () => {
  const user = await newCaller();
  const model = await newModel();
  await (await call(user, 'k', { model, messages: simulate({}) })).text();
  const other = await call(user, 'k', { model, messages: simulate({}, 'something else') });
  expect(other.status).toBe(409);
  expect(other.headers.get('x-should-retry')).toBe('false');
});

test('a workspace that keeps no content has no answer to give again', async () => {
  const user = await newCaller();
  await sql(`update public.workspaces set ai_log_content = 'metadata' where id = $1`, [user.id]);
  const body = { model: await newModel(), messages: simulate({}) };
  await (await call(user, 'k', body)).text();
  expect((await call(user, 'k', body)).status).toBe(409);
});

test('a call that failed may be made again', async () => {
  const user = await newCaller();
  const body = { model: await newModel(), messages: simulate({ key: randomUUID(), error: 400, times: 1 }) };
  expect((await call(user, 'k', body)).status).toBe(400);
  expect((await call(user, 'k', body)).status).toBe(200);
});
