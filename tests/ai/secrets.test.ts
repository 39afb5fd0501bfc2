/** A provider's key and words: none of them reaches a client or what customers can read of the log. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AI_LEAKY_KEY as KEY } from '../../scripts/testing/test-stack.ts';
import { hideSecrets } from '../../supabase/functions/_shared/text.ts';
import { sql } from '../support/stack.ts';
import { AI_URL, newCaller, newModel, newProvider } from './helpers.ts';

const WORDS = 'words of the provider';
const LEAKS = `${WORDS}: ${KEY} ${encodeURIComponent(KEY)} ${JSON.stringify(KEY)} ${KEY.slice(0, 6)}***${KEY.slice(-4)}`;
const chunk = (choice: object) => `data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`;
const started = chunk({ delta: { content: 'Hi' } });

/** What the provider answers: status, content type, body. */
const ANSWERS: Record<string, [number, string, string]> = {
  'refuses the key': [401, 'application/json', JSON.stringify({ error: { message: LEAKS } })],
  'blames the request': [
    400,
    'application/json',
    JSON.stringify({ error: { message: LEAKS, param: LEAKS, code: LEAKS } }),
  ],
  'is down': [500, 'text/html', `<pre>${LEAKS}</pre>`],
  'answers something else': [200, 'text/html', `<pre>${LEAKS}</pre>`],
  'answers an error': [200, 'application/json', JSON.stringify({ error: { message: LEAKS, code: 400 } })],
  'breaks off a stream': [
    200,
    'text/event-stream',
    `${started}data: ${JSON.stringify({ error: { message: LEAKS } })}\n\n`,
  ],
  'redirects with the key': [302, 'text/plain', LEAKS],
};

let redirected = 0;
const server = createServer((request, response) => {
  if (request.url?.startsWith('/elsewhere')) {
    redirected += 1;
    response.end(JSON.stringify({ choices: [{ message: { content: 'from elsewhere' } }] }));
    return;
  }
  let body = '';
  request.on('data', (part) => (body += part));
  request.on('end', () => {
    const [status, type, text] = ANSWERS[JSON.parse(body).messages[0].content] ?? [404, 'text/plain', ''];
    response.writeHead(status, { 'content-type': type, location: '/elsewhere' });
    // The words of a stream come first, its error once they were passed on.
    const [first = '', ...rest] = text.split(/(?<=\n\n)/);
    response.write(first);
    setTimeout(() => response.end(rest.join('')), rest.length > 0 ? 100 : 0);
  });
});

let model: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base_url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const provider = await newProvider({ base_url, api_key_env: 'AI_LEAKY_KEY', max_retries: 0 });
  model = await newModel({ provider, credits_per_request: 0 });
});
afterAll(() => void server.close());

async function ask(content: string, logContent: string) {
  const user = await newCaller();
  await sql('update public.workspaces set ai_log_content = $2::public.ai_log_content where id = $1', [
    user.id,
    logContent,
  ]);
  const answer = await fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.accessToken}` },
    body: JSON.stringify({ model, messages: [{ role: 'user', content }], stream: content.includes('stream') }),
  });
  const text = await answer.text();
  const { data: logs } = await user.client.from('ai_usage_logs').select();
  const [costs] = await sql('select attempts from private.ai_usage_logs where id = $1', [logs?.[0]?.id]);
  const { data: explained } = await user.client.rpc('explain_charge', { request_id: logs?.[0]?.request_id ?? '' });
  return {
    status: answer.status,
    shown: JSON.stringify([text, [...answer.headers], logs, explained]),
    log: logs?.[0],
    attempts: costs?.attempts,
  };
}

/** Whether a text has a part of the key in it, as it is or masked. */
function leaks(text: string): boolean {
  const parts = Array.from({ length: KEY.length - 7 }, (_, at) => KEY.slice(at, at + 8));
  return [...parts, KEY.slice(-4), `${KEY.slice(0, 6)}*`].some((part) => text.includes(part));
}

describe.each(['none', 'metadata', 'full'])('where the workspace keeps %s', (logContent) => {
  test.each(Object.keys(ANSWERS))('a provider that %s shows neither its key nor its words', async (answer) => {
    const { status, shown, log, attempts } = await ask(answer, logContent);
    expect(status).toBe(answer.includes('stream') ? 200 : /blames|an error/.test(answer) ? 400 : 502);
    expect(log).toMatchObject({ status: 'failed', credits_charged: 0 });
    expect(log?.error_message).toMatch(
      /^(status \d+|an error in the stream|an error instead of an answer|not the answer that was asked for|not a stream)$/,
    );
    expect(leaks(shown)).toBe(false);
    expect(shown).not.toContain(WORDS);

    // The operator's record of it has the provider's words, without secrets, and of an answer only where that is kept.
    const isKept = logContent === 'full' || (logContent === 'metadata' && answer !== 'answers something else');
    expect(attempts).toMatchObject([
      { error: log?.error_message, ...(isKept && { said: expect.stringContaining(WORDS) }) },
    ]);
    expect('said' in attempts[0]).toBe(isKept);
    expect(leaks(JSON.stringify(attempts))).toBe(false);
  });
});

test('a redirect is not followed', async () => {
  const { log } = await ask('redirects with the key', 'full');
  expect(log?.error_message).toBe('status 302');
  expect(redirected).toBe(0);
});

test('an address that cannot be reached is not told, with what stands in it', async () => {
  const provider = await newProvider({ base_url: 'http://user:hunter2hunter2@127.0.0.1:9/v1', max_retries: 0 });
  model = await newModel({ provider, credits_per_request: 0 });
  const { shown, log } = await ask('x', 'full');
  expect(log?.error_message).toBe('the connection broke');
  expect(shown).not.toMatch(/hunter2|127\.0\.0\.1:9/);
});

describe('hidden', () => {
  test.each([
    [`a ${KEY} b`, 'a [hidden] b'],
    [`https://x.test/?key=${encodeURIComponent(KEY)}&b=1`, 'https://x.test/?key=[hidden]&b=1'],
    [JSON.stringify({ key: KEY, other: 1 }), '{"key":"[hidden]","other":1}'],
    [`begins ${KEY.slice(0, 12)}, ends ${KEY.slice(-9)}`, 'begins [hidden], ends [hidden]'],
    ['Incorrect key: sk-leak***XYZW.', 'Incorrect key: [hidden]'],
    ['a sentence about sk- keys... and more', 'a sentence about sk- keys... and more'],
  ])('in %j is what of a secret is in it', (text, shown) => {
    expect(hideSecrets(text, [KEY])).toBe(shown);
  });

  test('is a short secret as well, and an empty one hides nothing', () => {
    expect(hideSecrets('abc abcd', ['abc', ''])).toBe('[hidden] [hidden]d');
  });
});
