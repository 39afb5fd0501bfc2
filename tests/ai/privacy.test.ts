/** What the log keeps of what is said, and that no key or token is ever in it. */
import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../support/stack.ts';
import { AI_URL, logsOf, newCaller, newKey, newModel, simulate } from './helpers.ts';

const SECRET = 'the secret plan';
let model: string;
beforeAll(async () => {
  model = await newModel({ credits_per_request: 0 });
});

describe.each(['none', 'metadata', 'full'])('a workspace that keeps %s', (content) => {
  test.each([false, true])('has that and no more in its log (stream: %s)', async (stream) => {
    const user = await newCaller();
    await sql('update public.workspaces set ai_log_content = $2::public.ai_log_content where id = $1', [
      user.id,
      content,
    ]);
    const { key } = await newKey(user);
    const tools = [{ type: 'function', function: { name: 'x', description: SECRET, parameters: { type: 'object' } } }];
    const answer = await fetch(`${AI_URL}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({
        model,
        messages: simulate({ text: SECRET }, SECRET),
        tools,
        user: SECRET,
        stream,
        temperature: 0.5,
      }),
    });
    await answer.text();
    const [log] = await logsOf(user);
    const [holds] = await sql('select jsonb_agg(h) as rows from public.credit_holds h where user_id = $1', [user.id]);
    const all = JSON.stringify([log, holds]);
    expect(all).not.toContain(key);
    expect(all).not.toContain(user.accessToken);
    expect(all.includes(SECRET)).toBe(content === 'full');
    if (content === 'none') expect([log?.request_data, log?.response_data]).toEqual([null, null]);
    if (content === 'metadata') {
      expect(log?.request_data).toMatchObject({ model, temperature: 0.5, stream, messages: { items: 1 } });
      expect(log?.response_data).toMatchObject({ choices: [{ index: 0, finish_reason: 'stop' }] });
    }
  });
});

test('long content is cut at 16 KiB, with a mark', async () => {
  const user = await newCaller();
  const answer = await fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.accessToken}` },
    body: JSON.stringify({ model, messages: simulate({}, 'word '.repeat(10_000)) }),
  });
  await answer.text();
  const [log] = await logsOf(user);
  const kept = log?.request_data as { begins: string } | undefined;
  expect(kept).toMatchObject({ truncated: true, characters: expect.any(Number) });
  expect(kept?.begins).toHaveLength(16_384);
});
