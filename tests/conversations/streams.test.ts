/** Streams of answers: followed from another functions process, left, stopped, and lost with their function. */
import { randomInt, randomUUID } from 'node:crypto';
import { createParser } from 'eventsource-parser';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { AI_URL, logsOf, newKey, newModel, newProvider, seenBySimulator, walletOf } from '../ai/helpers.ts';
import { type FunctionsProcess, startFunctionsProcess } from '../support/functions-process.ts';
import { runs } from '../support/runs.ts';
import { anonClient, newUser, serviceClient, sql, type TestUser } from '../support/stack.ts';
import { messagesOf, newConversation, newRichCaller, newTeam, refusal, says, untilEnded } from './helpers.ts';

/** For as many as TEST_RUNS asks for. */
const TIMEOUT = { timeout: runs(30_000) };

let model: string;
let other: FunctionsProcess;
beforeAll(async () => {
  model = await newModel({ max_output_tokens: 2_000 }, { input: 0, output: 1 });
  other = await startFunctionsProcess('ai');
}, 60_000);
afterAll(() => other?.kill());

const elsewhere = () => `${other.url}/ai/v1`;
const anywhere = () => (randomInt(2) ? AI_URL : elsewhere());
const at = (base: string, conversation: string, path = '') => `${base}/conversations/${conversation}/messages${path}`;
type Bearer = Pick<TestUser, 'accessToken'>;
const as = (user: Bearer) => ({ authorization: `Bearer ${user.accessToken}` });

/** Sends a message and returns the answer's id, and its stream once that begins. */
function begin(user: TestUser, conversation: string, directive: object, base = AI_URL, columns: object = {}) {
  const answer_id = randomUUID();
  const response = fetch(at(base, conversation), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...as(user) },
    body: JSON.stringify({ model, content: says(directive), parent_message_id: null, answer_id, ...columns }),
  });
  response.catch(() => undefined);
  return { id: answer_id, response };
}

function follow(user: Bearer, conversation: string, answer: string, after = 0, base = elsewhere()) {
  const headers = { ...as(user), ...(after > 0 ? { 'last-event-id': String(after) } : {}) };
  return fetch(at(base, conversation, `/${answer}/stream`), { headers });
}

async function stop(user: Bearer, conversation: string, answer: string, base = elsewhere()) {
  const response = await fetch(at(base, conversation, `/${answer}/stop`), { method: 'POST', headers: as(user) });
  return { status: response.status, body: (await response.json()) as { id: string; status: string } };
}

interface Heard {
  text: string;
  ids: number[];
  last: string | undefined;
  charged: number | undefined;
}

/** Reads a stream to its end, or until so many events came, and leaves it then. */
async function hear(response: Response, most = Number.POSITIVE_INFINITY): Promise<Heard> {
  const heard: Heard = { text: '', ids: [], last: undefined, charged: undefined };
  const parser = createParser({
    onEvent: ({ id, data }) => {
      if (heard.ids.length >= most) return;
      heard.last = data;
      if (id === undefined) return;
      heard.ids.push(Number(id));
      heard.text += JSON.parse(data).choices[0]?.delta?.content ?? '';
    },
    onComment: (comment) => {
      const credits = comment.match(/^ ?credits (.*)$/)?.[1];
      if (credits) heard.charged = JSON.parse(credits).credits_charged;
    },
  });
  const decoder = new TextDecoder();
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    parser.feed(decoder.decode(bytes, { stream: true }));
    if (heard.ids.length >= most) break; // leaving the loop cancels the body
  }
  return heard;
}

/** Waits for what comes soon on a machine with nothing else to do. */
const until = <T>(check: () => Promise<T>) => vi.waitFor(check, { timeout: 15_000 });

/** Words of several scripts, so many. */
const someText = (words: number) =>
  Array.from({ length: words }, () => ['the ', '数据库 ', 'naïve ', '\n\n', '🙂 ', 'data: '][randomInt(6)]).join('');

/** Does work so many times, a few at once. */
async function inTurns(times: number, atOnce: number, work: (number: number) => Promise<void>): Promise<void> {
  const numbers = Array.from({ length: times }, (_, number) => number);
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let number = numbers.pop(); number !== undefined; number = numbers.pop()) await work(number);
    }),
  );
}

describe.concurrent('a stream', () => {
  test(
    'that is cut anywhere goes on at another process, as often as it is: the whole text, charged once',
    TIMEOUT,
    async () => {
      const user = await newRichCaller();
      const conversation = await newConversation(user);
      const answers: { id: string; text: string }[] = [];
      await inTurns(runs(10), 10, async () => {
        const text = someText(60);
        const { id, response } = begin(user, conversation, { text, chunks: 30, chunk_delay_ms: 20 }, anywhere());
        let heard = await hear(await response, randomInt(1, 25));
        let all = heard.text;
        const ids = [...heard.ids];
        while (heard.last !== '[DONE]') {
          const most = randomInt(3) ? Number.POSITIVE_INFINITY : randomInt(1, 10);
          heard = await hear(await follow(user, conversation, id, ids.at(-1), anywhere()), most);
          all += heard.text;
          ids.push(...heard.ids);
        }
        expect(all).toBe(text);
        expect(ids).toEqual(ids.map((_, index) => index + 1));
        answers.push({ id, text });
      });
      for (const { id, text } of answers) {
        const { content, status } = await untilEnded(id);
        expect({ content, status }).toEqual({ content: text, status: 'sent' });
      }
      const logs = await logsOf(user);
      expect(logs.map(({ message_id }) => message_id).sort()).toEqual(answers.map(({ id }) => id).sort());
      expect(logs.every(({ status }) => status === 'success')).toBe(true);
      const { spent, held, drift } = (await walletOf(user)) ?? {};
      const charges = logs.reduce((sum, { credits_charged }) => sum + Number(credits_charged), 0);
      expect({ held, drift }).toEqual({ held: 0, drift: 0 });
      expect(spent).toBeCloseTo(charges, 6);
      expect(charges).toBeGreaterThan(0);
    },
  );

  test('is followed live by further tabs, which hear what its own client hears, and its end', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user);
    const text = someText(100);
    const { id, response } = begin(user, conversation, { text, chunks: 50, chunk_delay_ms: 20 });
    const own = hear(await response);
    const tabs = [AI_URL, elsewhere()].map(async (base) => hear(await follow(user, conversation, id, 0, base)));
    const [first, ...others] = await Promise.all([own, ...tabs]);
    expect(first).toMatchObject({ text, last: '[DONE]' });
    expect(first?.charged).toBeGreaterThan(0);
    expect(others).toEqual([first, first]);
    // And by a latecomer.
    expect(await hear(await follow(user, conversation, id))).toEqual(first);
    expect(await hear(await follow(user, conversation, id, first?.ids.at(-1)))).toEqual({
      ...{ text: '', ids: [], last: '[DONE]', charged: first?.charged },
    });
  });

  test('goes on when its client leaves, whatever the policy for that is', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user);
    const provider = await newProvider({ api_key_env: 'AI_API_KEY', disconnect_policy: 'cancel' });
    const cancelled = await newModel({ provider }, { input: 0, output: 1 });
    const text = 'on and on '.repeat(10);
    const directive = { text, chunks: 20, chunk_delay_ms: 20 };
    const { id, response } = begin(user, conversation, directive, AI_URL, { model: cancelled });
    await hear(await response, 1);
    expect(await untilEnded(id)).toMatchObject({ status: 'sent', content: text });
  });

  test("begins with the provider that answers: what another one sent before it failed is nobody's", async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user);
    const broken = await newModel({ upstream_model: 'simulator-chat[[simulate:{"error_after":0}]]' });
    await sql('insert into public.ai_model_fallbacks (model, fallback_model, position) values ($1, $2, 1)', [
      broken,
      model,
    ]);
    const directive = { text: 'Good day to you', chunk_delay_ms: 300 };
    const { id, response } = begin(user, conversation, directive, AI_URL, { model: broken });
    const first = await hear(await response);
    expect(first).toMatchObject({ text: 'Good day to you', last: '[DONE]' });
    expect(first.ids[0]).toBe(1);
    expect(await hear(await follow(user, conversation, id))).toEqual(first);
    const [log] = await logsOf(user);
    expect(log?.attempts).toHaveLength(2);
  });

  test('that failed ends for who follows it as it did for its client', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user);
    const { id, response } = begin(user, conversation, { text: 'one two three four', error_after: 2 });
    const first = await hear(await response);
    expect(JSON.parse(first.last ?? '').error).toMatchObject({ code: 'upstream_error', type: 'api_error' });
    await untilEnded(id);
    expect(await hear(await follow(user, conversation, id))).toEqual(first);
  });
});

test.concurrent("each poll of a stream asks for its own request's session: a signed-out device is cut, another one goes on", async () => {
  const phone = await newRichCaller();
  const client = anonClient();
  const { data, error } = await client.auth.signInWithPassword({ email: phone.email, password: phone.password });
  if (error) throw error;
  const laptop = { accessToken: data.session.access_token };
  const conversation = await newConversation(phone);
  const directive = { text: 'Once upon a time', chunks: 2, chunk_delay_ms: 25_000 };
  const { id, response } = begin(phone, conversation, directive, elsewhere());
  const own = response.then((stream) => hear(stream));
  await until(async () =>
    expect(await sql('select from private.message_events where message_id = $1', [id])).not.toEqual([]),
  );
  const [cut, goesOn] = await Promise.all([follow(phone, conversation, id), follow(laptop, conversation, id)]);
  const heardByLaptop = hear(goesOn);
  const heardByPhone = hear(cut);
  expect((await client.rpc('revoke_other_devices')).data).toBe(1);
  expect(JSON.parse((await heardByPhone).last ?? '').error?.code).toBe('session_revoked');
  expect(await refusal(await follow(phone, conversation, id))).toBe('401 session_revoked');
  expect((await stop(laptop, conversation, id)).body.status).toBe('stopped');
  expect(await heardByLaptop).toEqual(await own);
  expect((await heardByLaptop).last).toBe('[DONE]');
});

test.concurrent('a person follows twenty streams at once in a process, a key as many; who leaves one may follow another', async () => {
  const user = await newRichCaller();
  const conversation = await newConversation(user);
  const silent = { text: 'Once upon a time', chunks: 2, chunk_delay_ms: 25_000 };
  const { id, response } = begin(user, conversation, silent);
  const own = await response;
  const leaving = Array.from({ length: 20 }, () => new AbortController());
  const followOne = (signal?: AbortSignal) =>
    fetch(at(elsewhere(), conversation, `/${id}/stream`), { headers: as(user), ...(signal && { signal }) });
  const tabs = await Promise.all(leaving.map(({ signal }) => followOne(signal)));
  expect(tabs.map(({ status }) => status)).toEqual(Array(20).fill(200));
  const refused = await followOne();
  expect(refused.headers.get('retry-after')).toBe('5');
  expect(await refused.json()).toMatchObject({
    error: { code: 'rate_limited', type: 'rate_limit_error', message: expect.stringMatching('At most 20 streams') },
  });
  // What is refused takes no place, nor does another's follower.
  const { key } = await newKey(user);
  const byKey = await follow({ accessToken: key }, conversation, id);
  expect(byKey.status).toBe(200);
  leaving[0]?.abort();
  await until(async () => {
    const again = await followOne(leaving[1]?.signal);
    expect(again.status).toBe(200);
  });
  expect((await followOne()).status).toBe(429);
  for (const missing of Array.from({ length: 3 }, () => randomUUID())) {
    expect(await refusal(await follow({ accessToken: key }, conversation, missing))).toBe('404 not_found');
  }
  // The end of a stream ends its followers.
  expect((await stop(user, conversation, id)).body.status).toBe('stopped');
  await Promise.all([own, byKey, ...tabs.slice(1)].map((stream) => stream.text()));
  expect((await hear(await followOne())).last).toBe('[DONE]');
});

describe.concurrent('stop', () => {
  test('races the natural end: one ending, one charge, and what is told is so', TIMEOUT, async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user);
    const endings: string[] = [];
    await inTurns(runs(10), 10, async (number) => {
      const text = 'word '.repeat(20);
      const { id, response } = begin(user, conversation, { text, chunks: 20, chunk_delay_ms: 80 }, anywhere());
      const own = response.then((stream) => hear(stream));
      await until(async () => expect(await sql('select from public.messages where id = $1', [id])).toHaveLength(1));
      // At once, after the end, or while it comes.
      if (number % 10 === 9) await own;
      else await new Promise((resolve) => setTimeout(resolve, (number % 10) * 200));
      const stops = await Promise.all([stop(user, conversation, id, anywhere()), stop(user, conversation, id)]);
      const message = await untilEnded(id);
      const told = await own;
      endings.push(message.status);
      for (const { status, body } of stops) expect([status, body.status]).toEqual([200, message.status]);
      expect(message.content).toBe(told.text);
      expect(told.last).toBe('[DONE]');
      const logs = await sql(
        `select status, credits_charged::float8 as charged from public.ai_usage_logs where message_id = $1`,
        [id],
      );
      expect(logs).toEqual([{ status: message.status === 'sent' ? 'success' : 'canceled', charged: told.charged }]);
      expect(['sent', 'stopped']).toContain(message.status);
      if (message.status === 'sent') expect(told.text).toBe(text);
      else expect(text.startsWith(told.text)).toBe(true);
    });
    expect(endings).toContain('sent');
    expect(endings).toContain('stopped');
    expect(await walletOf(user)).toMatchObject({ held: 0, drift: 0 });
  });

  test('before the provider answers charges nothing, and the provider hears of it', async () => {
    const user = await newRichCaller();
    const before = await walletOf(user);
    const conversation = await newConversation(user);
    const key = randomUUID();
    const { id, response } = begin(user, conversation, { key, delay_ms: 25_000 });
    await until(async () => expect((await seenBySimulator(key)).count).toBe(1));
    expect((await stop(user, conversation, id)).body).toMatchObject({ id, status: 'stopped' });
    expect((await response).headers.get('x-answer-id')).toBe(id);
    expect(await refusal(await response)).toBe('409 invalid_state');
    const [question] = await messagesOf(conversation);
    expect((await response).headers.get('x-message-id')).toBe(question?.id);
    // It has no text that could be continued.
    const more = await fetch(at(elsewhere(), conversation, `/${id}/continue`), { method: 'POST', headers: as(user) });
    expect(await more.json()).toMatchObject({
      error: { code: 'invalid_state', message: expect.stringMatching(`no text.*/${question?.id}/answers`) },
    });
    expect(await walletOf(user)).toEqual(before);
    expect(await logsOf(user)).toMatchObject([{ status: 'canceled', credits_charged: '0.000000', error_code: null }]);
    expect(await hear(await follow(user, conversation, id))).toMatchObject({ text: '', last: '[DONE]' });
    await until(async () => expect((await seenBySimulator(key)).requests[0]?.outcome).toBe('canceled'));
    const [counts] = await sql('select messages::integer from private.ai_request_counts where workspace_id = $1', [
      user.id,
    ]);
    expect(counts?.messages).toBe(0);
  });

  test('does not end one that is made whole, for the provider makes and charges all of it', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user);
    const key = randomUUID();
    const whole = { key, text: 'Once upon a time', delay_ms: 3_000 };
    const { id, response } = begin(user, conversation, whole, AI_URL, { stream: false });
    await until(async () => expect((await seenBySimulator(key)).count).toBe(1));
    expect((await stop(user, conversation, id)).body).toMatchObject({ id, status: 'sending' });
    expect(await (await response).json()).toMatchObject({ answer: { status: 'sent', content: 'Once upon a time' } });
    const [log] = await logsOf(user);
    expect(log?.status).toBe('success');
    expect(Number(log?.credits_charged)).toBeGreaterThan(0);
  });

  test('ends one that is silent, and a second time changes nothing', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user);
    const key = randomUUID();
    const { id, response } = begin(user, conversation, {
      key,
      text: 'Once upon a time',
      chunks: 2,
      chunk_delay_ms: 25_000,
    });
    await until(async () => expect((await seenBySimulator(key)).count).toBe(1));
    expect((await stop(user, conversation, id)).body.status).toBe('stopped');
    expect((await hear(await response)).last).toBe('[DONE]');
    await until(async () => expect((await seenBySimulator(key)).requests[0]?.outcome).toBe('canceled'));
    expect((await stop(user, conversation, id)).body.status).toBe('stopped');
  });

  test('keeps what came, which is continued by a stream of its own', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user);
    const { id, response } = begin(user, conversation, { text: 'word '.repeat(100), chunks: 100, chunk_delay_ms: 50 });
    const own = hear(await response);
    await until(async () =>
      expect(await sql('select from private.message_events where message_id = $1', [id])).not.toEqual([]),
    );
    await stop(user, conversation, id);
    const { text } = await own;
    expect(await untilEnded(id)).toMatchObject({ status: 'stopped', content: text });
    expect(text).not.toBe('');
    const more = await fetch(at(elsewhere(), conversation, `/${id}/continue`), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...as(user) },
      body: JSON.stringify({ model }),
    });
    const heard = await hear(more);
    expect(heard).toMatchObject({ last: '[DONE]' });
    expect(heard.ids[0]).toBe(1);
    expect(await hear(await follow(user, conversation, id))).toEqual(heard);
    expect((await untilEnded(id)).content).toBe(text + heard.text);
  });
});

test.concurrent('killed with its function, an answer has what was streamed, is marked, and charged by what was told', async () => {
  const doomed = await startFunctionsProcess('ai');
  try {
    const user = await newRichCaller();
    const conversation = await newConversation(user);
    // Past what its hold covers a stream tells how far it is.
    const small = await newModel({ max_output_tokens: 20 }, { input: 0, output: 100 });
    const directive = { text: ' the'.repeat(300), chunk_delay_ms: 20, ignore_limit: true };
    const { id, response } = begin(user, conversation, directive, `${doomed.url}/ai/v1`, { model: small });
    const own = (await response).text();
    own.catch(() => undefined);
    const tab = hear(await follow(user, conversation, id));
    const told = await vi.waitFor(
      async () => {
        const [call] = await sql(
          `select c.hold_id, c.completion_tokens::integer as tokens from private.ai_calls c join public.messages m on m.hold_id = c.hold_id
           where m.id = $1`,
          [id],
        );
        expect(call?.tokens).toBeGreaterThan(0);
        return call;
      },
      { timeout: 10_000 },
    );
    await doomed.kill();
    await expect(own).rejects.toThrow();
    const [written] = await sql(
      `select private.parts_of_events(m.id) as parts, m.status from public.messages m where m.id = $1`,
      [id],
    );
    expect(written).toMatchObject({
      status: 'sending',
      parts: [{ type: 'text', text: expect.stringMatching(/^( the)+$/) }],
    });
    // What the sweep does once its time is over; that of other tests' calls is not.
    await sql('select private.finish_lost_ai_call(h, clock_timestamp()) from private.credit_holds h where h.id = $1', [
      told?.hold_id,
    ]);
    const heard = await tab;
    expect(JSON.parse(heard.last ?? '').error).toMatchObject({ code: 'call_lost' });
    expect(heard.text).toBe(written?.parts[0].text);
    expect(await untilEnded(id)).toMatchObject({ status: 'stopped', parts: written?.parts, content: heard.text });
    expect(await logsOf(user)).toMatchObject([
      { status: 'canceled', error_code: 'call_lost', completion_tokens: told?.tokens, message_id: id },
    ]);
    expect(await walletOf(user)).toMatchObject({ spent: told?.tokens / 100, held: 0, drift: 0 });
  } finally {
    await doomed.kill();
  }
});

test.concurrent('who may follow and stop, over HTTP', async () => {
  const [ana, bob, eve] = await Promise.all([newRichCaller(), newUser(), newUser()]);
  const conversation = await newConversation(ana);
  const { id, response } = begin(ana, conversation, { text: 'Good day' });
  await hear(await response);
  const { key } = await newKey(ana);
  const byKey = { accessToken: key } as TestUser;
  expect((await hear(await follow(byKey, conversation, id))).text).toBe('Good day');
  expect((await stop(byKey, conversation, id)).body).toMatchObject({ id, status: 'sent' });

  expect(await refusal(await fetch(at(AI_URL, conversation, `/${id}/stream`)))).toBe('401 not_authenticated');
  expect(await refusal(await fetch(at(AI_URL, conversation, `/${id}/stop`), { method: 'POST' }))).toBe(
    '401 not_authenticated',
  );
  expect(await refusal(await follow(eve, conversation, id))).toBe('404 not_found');
  expect((await stop(eve, conversation, id)).status).toBe(404);
  expect(await refusal(await follow(ana, conversation, randomUUID()))).toBe('404 not_found');
  const nothing = await follow(ana, conversation, 'nothing');
  expect(await nothing.json()).toMatchObject({
    error: { code: 'not_found', message: 'There is no message "nothing".' },
  });
  expect(await refusal(await fetch(at(AI_URL, conversation, `/${id}/stream?after=-1`), { headers: as(ana) }))).toBe(
    '400 invalid_request',
  );
  const [question] = await messagesOf(conversation);
  expect(await refusal(await follow(ana, conversation, question?.id ?? ''))).toBe('404 not_found');

  const team = await newTeam(ana);
  await sql('insert into public.workspace_members (workspace_id, user_id) values ($1, $2)', [team, bob.id]);
  await sql('update public.conversations set workspace_id = $2 where id = $1', [conversation, team]);
  expect(await refusal(await follow(bob, conversation, id))).toBe('404 not_found');
  await sql('update public.conversations set is_shared = true where id = $1', [conversation]);
  // What it cost is its person's to know.
  expect(await hear(await follow(bob, conversation, id))).toMatchObject({ text: 'Good day', charged: undefined });
  expect((await stop(bob, conversation, id)).status).toBe(403);

  await sql(`delete from private.message_events where message_id = $1`, [id]);
  expect(await refusal(await follow(ana, conversation, id))).toBe('410 stream_expired');
});

test.concurrent('events that are missing are told of', async () => {
  const user = await newRichCaller();
  const conversation = await newConversation(user);
  const id = randomUUID();
  await sql(`insert into public.messages (id, conversation_id, role, status) values ($1, $2, 'assistant', 'sending')`, [
    id,
    conversation,
  ]);
  const write = async (first_event: number, events: string) => {
    const last_event = first_event + (events.split('\n\n').length || 2) - 2;
    const { error } = await serviceClient().rpc('write_message_events', {
      ...{ message_id: id, first_event, last_event: Math.max(first_event, last_event), events },
    });
    if (error) throw error;
  };
  await write(1, 'id: 1\ndata: {"choices":[]}\n\nid: 2\ndata: {"choices":[]}\n\n');
  const tab = follow(user, conversation, id).then((response) => hear(response));
  await write(9, '');
  const heard = await tab;
  expect(heard.ids).toEqual([1, 2]);
  expect(JSON.parse(heard.last ?? '').error.code).toBe('stream_expired');
  // Who has them all goes on.
  await sql(`update public.messages set status = 'sent' where id = $1`, [id]);
  expect((await hear(await follow(user, conversation, id, 8))).last).toBe('[DONE]');
});
