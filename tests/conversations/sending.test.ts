import { randomUUID } from 'node:crypto';
import { Stream } from 'openai/core/streaming';
import type { ChatCompletionChunk } from 'openai/resources/chat/completions';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import {
  AI_URL,
  logsOf,
  newCaller,
  newKey,
  newModel,
  newProvider,
  seenBySimulator,
  untilLogged,
  walletOf,
} from '../ai/helpers.ts';
import { newUser, sql } from '../support/stack.ts';
import {
  join,
  messagesOf,
  newConversation,
  newRichCaller,
  newTeam,
  post,
  readStream,
  refusal,
  says,
  send,
  untilEnded,
} from './helpers.ts';

const USAGE = { prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 };
/** 20 at 100 and 10 at 200 dollars a million. */
const COST = 0.004;

let model: string;
beforeAll(async () => {
  model = await newModel();
});

describe.concurrent('a message', () => {
  test('is answered by a stream, with both messages, counters, log and charge written once', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user, { model, system_prompt: 'Be brief.' });
    const response = await post(user.accessToken, conversation, { content: says({ usage: USAGE, text: 'Good day' }) });
    expect(response.headers.get('content-type')).toMatch('text/event-stream');
    const { text, isDone, last } = await readStream(response);
    expect({ text, isDone, object: last.object }).toEqual({
      text: 'Good day',
      isDone: true,
      object: 'chat.completion.chunk',
    });
    const [question, answer, ...others] = await messagesOf(conversation);
    expect(others).toEqual([]);
    expect(question).toMatchObject({
      id: response.headers.get('x-message-id'),
      parent_message_id: null,
      role: 'user',
      status: 'sent',
      cost: 0,
      content: says({ usage: USAGE, text: 'Good day' }),
    });
    expect(question?.content_tokens).toBeGreaterThan(0);
    expect(answer).toMatchObject({
      id: response.headers.get('x-answer-id'),
      parent_message_id: question?.id,
      role: 'assistant',
      status: 'sent',
      content: 'Good day',
      parts: [{ type: 'text', text: 'Good day' }],
      model_used: model,
      prompt_tokens: 20,
      completion_tokens: 10,
      cost: COST,
      error_message: null,
      metadata: { finish_reason: 'stop' },
    });
    expect(answer?.content_tokens).toBeGreaterThan(0);
    const { data } = await user.client.from('conversations').select().eq('id', conversation).single();
    expect(data).toMatchObject({ message_count: 2, total_tokens: 30, total_cost: COST, current_leaf_id: answer?.id });
    const logs = await logsOf(user);
    expect(logs).toHaveLength(1);
    expect(logs[0]).toMatchObject({
      status: 'success',
      conversation_id: conversation,
      message_id: answer?.id,
      estimated_cost: String(COST),
      scene: 'text_chat',
    });
    expect(await walletOf(user)).toEqual({ balance: 2.6, spent: 0.4, held: 0, drift: 0 });
  });

  test('has a stream that the official client reads', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user, { model });
    const response = await post(user.accessToken, conversation, { content: says({ text: 'one two', chunks: 2 }) });
    const chunks: ChatCompletionChunk[] = [];
    const stream = Stream.fromSSEResponse<ChatCompletionChunk>(response, new AbortController());
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('one two');
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop');
    expect(new Set(chunks.map(({ model: named }) => named))).toEqual(new Set([model]));
  });

  test('sends the system prompt and what was said before on its branch, and nothing of others', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user, { model, system_prompt: 'Be brief.' });
    const first = await send(user, conversation, { content: 'one' });
    await send(user, conversation, { content: 'two' });
    // An edited question: a further branch.
    const key = randomUUID();
    const edited = says({ key, text: 'fine' }, 'two, edited');
    const turn = await send(user, conversation, { content: edited, parent_message_id: first.answer.id });
    expect(turn.message.parent_message_id).toBe(first.answer.id);
    const [seen] = (await seenBySimulator(key)).requests;
    expect(seen?.body.messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: first.answer.content },
      { role: 'user', content: edited },
    ]);
    const { data } = await user.client.rpc('conversation_branch', { conversation_id: conversation });
    expect((data as { content: string }[]).map(({ content }) => content)).toEqual([
      'one',
      first.answer.content,
      edited,
      'fine',
    ]);
    // A first message of its own.
    const root = await send(user, conversation, { content: 'anew', parent_message_id: null });
    expect(root.message.parent_message_id).toBeNull();
  });

  test('takes the settings it lists and no others', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user);
    const key = randomUUID();
    const settings = { temperature: 0.5, top_p: 0.9, max_output_tokens: 7 };
    await send(user, conversation, { content: says({ key }), model, ...settings });
    const [seen] = (await seenBySimulator(key)).requests;
    expect(seen?.body).toMatchObject({ temperature: 0.5, top_p: 0.9, max_tokens: 7, stream: false });
    const wrong: [object, string][] = [
      [{ content: 'x' }, '400 invalid_request'],
      [{ model, content: 'x', tools: [] }, '400 invalid_request'],
      [{ model, content: 'x', parts: [{ type: 'text', text: 'x' }] }, '400 invalid_request'],
      [{ model, parts: ['x'] }, '400 invalid_request'],
      [{ model }, '400 invalid_request'],
      [{ model, content: 'x', id: 'x' }, '400 invalid_request'],
      [{ model, content: 'x', metadata: { a: 'x'.repeat(65536) } }, '400 invalid_request'],
      [{ model: 'no-such-model', content: 'x' }, '404 not_found'],
      [{ model, content: 'x', parent_message_id: randomUUID() }, '404 not_found'],
    ];
    for (const [body, expected] of wrong) {
      expect([body, await refusal(await post(user.accessToken, conversation, body))]).toEqual([body, expected]);
    }
    const empty = await post(user.accessToken, conversation, { model });
    expect(await empty.json()).toMatchObject({ error: { message: expect.stringMatching('content.*parts') } });
    expect(await messagesOf(conversation)).toHaveLength(2);
  });

  test('keeps parts as they are, and sends the words of those that are ours', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user, { model });
    const key = randomUUID();
    const parts = [
      { type: 'data-weather', data: { city: 'Bern' } },
      { type: 'text', text: says({ key }, 'Look') },
    ];
    const { message } = await send(user, conversation, { parts, metadata: { from: 'a page' } });
    expect(message).toMatchObject({ parts, metadata: { from: 'a page' } });
    const [seen] = (await seenBySimulator(key)).requests;
    expect(seen?.body.messages).toEqual([{ role: 'user', content: says({ key }, 'Look') }]);
    // The function is not even given those that no model reads.
    const [context] = await sql(
      `select public.conversation_context($1, $2, 'send', follows_leaf => true) #> '{messages,0,parts}' as parts`,
      [conversation, user.id],
    );
    expect(context?.parts).toEqual([parts[1]]);
  });

  test('goes on to be answered when its client leaves, whatever the disconnect policy', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user, { model });
    const leaving = new AbortController();
    const body = { content: says({ text: 'a b c d e f', chunks: 6, chunk_delay_ms: 250, usage: USAGE }) };
    const canceling = await newModel({ provider: await newProvider({ disconnect_policy: 'cancel' }) });
    const response = await fetch(`${AI_URL}/conversations/${conversation}/messages`, {
      method: 'POST',
      headers: { authorization: `Bearer ${user.accessToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, model: canceling }),
      signal: leaving.signal,
    });
    await response.body?.getReader().read();
    leaving.abort();
    const answer = await untilEnded(response.headers.get('x-answer-id') ?? '');
    expect(answer).toMatchObject({ status: 'sent', content: 'a b c d e f' });
    expect((await untilLogged(user, 1))[0]).toMatchObject({ status: 'success' });
  });
});

describe.concurrent('who may send', () => {
  test('its person alone: by token, and by a key for its workspace', async () => {
    const [owner, mate, stranger] = await Promise.all([newCaller(), newCaller(), newCaller()]);
    const team = await newTeam(owner);
    await sql(`update public.workspaces set plan = 'enterprise' where id = $1`, [team]);
    await sql(`select public.credit_user_credits_transaction($1, 30, 'manual', workspace_id => $2)`, [owner.id, team]);
    await join(team, mate);
    const conversation = await newConversation(owner, { model, workspace_id: team, is_shared: true });
    const body = { content: says({ usage: USAGE }), stream: false };
    const asked = async (by: string | undefined) => {
      const response = await post(by, conversation, body);
      return response.ok ? 'answered' : refusal(response);
    };
    const key = await newKey(owner, { workspace_id: team });
    const otherKey = await newKey(owner);
    const stranded = await newUser();
    expect({
      owner: await asked(owner.accessToken),
      'their key': await asked(key.key),
      'a key of theirs for another workspace': await asked(otherKey.key),
      'a reader of the team': await asked(mate.accessToken),
      stranger: await asked(stranger.accessToken),
      'another stranger': await asked(stranded.accessToken),
      anonymous: await asked(undefined),
    }).toEqual({
      owner: 'answered',
      'their key': 'answered',
      'a key of theirs for another workspace': '403 forbidden',
      'a reader of the team': '403 forbidden',
      stranger: '404 not_found',
      'another stranger': '404 not_found',
      anonymous: '401 not_authenticated',
    });
    // The team paid, and who is not in it any more does not spend its credits.
    const [wallet] = await sql(
      'select credits_spent::float8 as spent from public.credit_wallets where workspace_id = $1',
      [team],
    );
    expect(wallet?.spent).toBeCloseTo(2 * 100 * COST, 6);
    const elsewhere = await fetch(`${AI_URL}/conversations/${conversation}/messages`, {
      method: 'POST',
      headers: { authorization: `Bearer ${owner.accessToken}`, 'x-workspace-id': owner.id },
      body: JSON.stringify(body),
    });
    expect(await refusal(elsewhere)).toBe('404 not_found');
    await sql('update public.conversations set is_shared = false where id = $1', [conversation]);
    expect(await asked(mate.accessToken)).toBe('404 not_found');
    expect(await (await post(owner.accessToken, 'no-uuid', body)).json()).toMatchObject({
      error: { code: 'not_found', message: 'There is no conversation "no-uuid".' },
    });
    const theirs = await newConversation(mate, { model, workspace_id: team });
    await sql('delete from public.workspace_members where workspace_id = $1 and user_id = $2', [team, mate.id]);
    expect(await refusal(await post(mate.accessToken, theirs, body))).toBe('404 not_found');
    await owner.client.from('conversations').delete().eq('id', conversation);
    expect(await asked(owner.accessToken)).toBe('404 not_found');
  });
});

describe.concurrent('an id of the client', () => {
  test('makes a message be answered once: the same answer for the same body, 409 for another', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user, { model });
    const key = randomUUID();
    const body = { id: randomUUID(), answer_id: randomUUID(), content: says({ key, text: 'once', usage: USAGE }) };
    const first = await send(user, conversation, body);
    expect([first.message.id, first.answer.id]).toEqual([body.id, body.answer_id]);
    expect(await send(user, conversation, body)).toEqual(first);
    const conflict = await post(user.accessToken, conversation, { ...body, content: 'another' });
    expect(await conflict.json()).toMatchObject({
      error: { code: 'idempotency_conflict', message: expect.stringMatching('new id.*same body for a retry') },
    });
    // How it is answered is free: `send` asked for it whole.
    for (const stream of [true, null, undefined]) {
      const again = await post(user.accessToken, conversation, { ...body, stream });
      expect(again.headers.get('x-answer-id')).toBe(body.answer_id);
      expect(await readStream(again)).toMatchObject({ text: 'once', isDone: true });
    }
    // Nor is it anybody else's.
    const other = await newCaller();
    const elsewhere = await newConversation(other, { model });
    expect(await refusal(await post(other.accessToken, elsewhere, body))).toBe('409 idempotency_conflict');
    expect(await refusal(await post(other.accessToken, elsewhere, { ...body, id: undefined }))).toBe(
      '409 idempotency_conflict',
    );
    expect((await seenBySimulator(key)).count).toBe(1);
    expect(await walletOf(user)).toMatchObject({ spent: 0.4, held: 0, drift: 0 });
  });

  test('gives a stream again as a stream, and while it runs that one from its beginning', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user, { model });
    const key = randomUUID();
    const directive = { key, text: 'as it was', chunks: 3, chunk_delay_ms: 300, usage: USAGE };
    const body = { id: randomUUID(), content: says(directive) };
    const streaming = await post(user.accessToken, conversation, body);
    const whole = await post(user.accessToken, conversation, { ...body, stream: false });
    expect(await refusal(whole)).toBe('409 generation_running');
    const again = await post(user.accessToken, conversation, { ...body, stream: true });
    expect(again.headers.get('x-message-id')).toBe(body.id);
    expect(again.headers.get('x-answer-id')).toBe(streaming.headers.get('x-answer-id'));
    expect(await readStream(again)).toMatchObject({ text: 'as it was', isDone: true });
    expect(await readStream(streaming)).toMatchObject({ text: 'as it was', isDone: true });
    const replayed = await post(user.accessToken, conversation, body);
    expect(replayed.headers.get('x-answer-id')).toBe(streaming.headers.get('x-answer-id'));
    expect(await readStream(replayed)).toMatchObject({ text: 'as it was', isDone: true });
    expect((await send(user, conversation, body)).answer.content).toBe('as it was');
    expect(await messagesOf(conversation)).toHaveLength(2);
    expect((await seenBySimulator(key)).count).toBe(1);
  });

  test('of an answer that is made whole has no stream meanwhile: its end says so', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user, { model });
    const body = { id: randomUUID(), content: says({ text: 'as it was', delay_ms: 1_500 }), stream: false };
    const whole = post(user.accessToken, conversation, body);
    await vi.waitFor(async () => expect(await messagesOf(conversation)).toHaveLength(2), { timeout: 10_000 });
    const early = await readStream(await post(user.accessToken, conversation, { ...body, stream: true }));
    expect(early).toMatchObject({ text: '', isDone: false, last: { error: { code: 'stream_expired' } } });
    expect((await whole).status).toBe(200);
    const late = await readStream(await post(user.accessToken, conversation, { ...body, stream: true }));
    expect(late).toMatchObject({ text: 'as it was', isDone: true });
  });

  test('of twenty at once is answered once', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user, { model });
    const key = randomUUID();
    const body = { id: randomUUID(), content: says({ key, delay_ms: 300, usage: USAGE }), stream: false };
    const responses = await Promise.all(Array.from({ length: 20 }, () => post(user.accessToken, conversation, body)));
    const outcomes = await Promise.all(responses.map((one) => (one.ok ? 'answered' : refusal(one))));
    expect(new Set(outcomes)).toEqual(new Set(['answered', '409 generation_running']));
    expect((await seenBySimulator(key)).count).toBe(1);
    expect(await messagesOf(conversation)).toHaveLength(2);
    expect(await walletOf(user)).toMatchObject({ spent: 0.4, held: 0, drift: 0 });
  });
});

describe.concurrent('an answer that is still being made', () => {
  test('keeps its branch from another, and no other branch', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user, { model });
    const slow = says({ text: 'slow words', chunks: 2, chunk_delay_ms: 3_000 });
    const streaming = await post(user.accessToken, conversation, { content: slow });
    const running = streaming.headers.get('x-answer-id') ?? '';
    const another = (body: object | undefined, path = '') => post(user.accessToken, conversation, body, path);
    const refused = {
      'below the current leaf': another({ content: 'next' }),
      'below it by name': another({ content: 'next', parent_message_id: running }),
      'a second answer': another(undefined, `/${streaming.headers.get('x-message-id')}/answers`),
      'its own continuation': another(undefined, `/${running}/continue`),
    };
    for (const [name, asked] of Object.entries(refused)) {
      const response = await asked;
      expect([name, response.headers.get('x-answer-id')]).toEqual([name, running]);
      expect([name, await refusal(response)]).toEqual([name, '409 generation_running']);
    }
    const beside = await send(user, conversation, { content: 'on another branch', parent_message_id: null });
    expect(beside.answer.status).toBe('sent');
    expect((await untilEnded(running)).content).toBe('slow words');
    await streaming.text();
    expect((await send(user, conversation, { content: 'now', parent_message_id: running })).answer.status).toBe('sent');
  });
});

test.concurrent('of ten messages at once below the current leaf one is answered', async () => {
  const user = await newRichCaller();
  const conversation = await newConversation(user, { model });
  await send(user, conversation, { content: 'Hello' });
  const responses = await Promise.all(
    Array.from({ length: 10 }, (_, at) =>
      post(user.accessToken, conversation, { content: says({ delay_ms: 700 }, `number ${at}`), stream: false }),
    ),
  );
  const outcomes = await Promise.all(responses.map((one) => (one.ok ? 'answered' : refusal(one))));
  expect(outcomes.sort()).toEqual([...Array(9).fill('409 generation_running'), 'answered']);
  expect(await messagesOf(conversation)).toHaveLength(4);
});

describe.concurrent('a message that is not answered', () => {
  test('is refused as any call and leaves nothing behind', async () => {
    const user = await newCaller();
    const dear = await newModel({ credits_per_request: 100 });
    const conversation = await newConversation(user, { model: dear });
    const body = { id: randomUUID(), content: 'Hello' };
    expect(await refusal(await post(user.accessToken, conversation, body))).toBe('402 insufficient_credits');
    expect(await messagesOf(conversation)).toEqual([]);
    const [log] = await logsOf(user);
    expect(log).toMatchObject({ status: 'refused', conversation_id: conversation, message_id: null });
    // The same message can be sent once there are credits.
    await sql(`select public.credit_user_credits_transaction($1, 200, 'manual')`, [user.id]);
    expect((await send(user, conversation, { ...body })).message.id).toBe(body.id);
  });

  test('by a fault of the provider has a failed answer, uncharged, and the same request tries again', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user, { model });
    const failing = { key: randomUUID(), error: 401, times: 1, usage: USAGE };
    const body = { id: randomUUID(), content: says(failing), stream: false };
    const response = await post(user.accessToken, conversation, body);
    expect(await refusal(response)).toBe('502 upstream_error');
    const [, failed] = await messagesOf(conversation);
    expect(response.headers.get('x-message-id')).toBe(body.id);
    expect(response.headers.get('x-answer-id')).toBe(failed?.id);
    expect(failed).toMatchObject({ status: 'failed', content: '', cost: 0, prompt_tokens: 0 });
    expect(failed?.error_message).toMatch('Nothing was charged');
    expect(await walletOf(user)).toMatchObject({ spent: 0, held: 0 });
    const { answer } = await send(user, conversation, body);
    expect(answer).toMatchObject({ id: failed?.id, status: 'sent', error_message: null });
    expect(await messagesOf(conversation)).toHaveLength(2);
    expect(await walletOf(user)).toMatchObject({ spent: 0.4, held: 0, drift: 0 });
  });

  test('to its end has what came of it, failed and uncharged', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user, { model });
    const cut = says({ text: 'one two three four', chunks: 4, chunk_delay_ms: 20, cut_after: 2 });
    const { last, isDone } = await readStream(await post(user.accessToken, conversation, { content: cut }));
    expect([last, isDone]).toEqual([{ error: expect.objectContaining({ code: 'upstream_error' }) }, false]);
    const [, answer] = await messagesOf(conversation);
    expect(answer).toMatchObject({ status: 'failed', content: 'one two ', cost: 0 });
    expect(await walletOf(user)).toMatchObject({ spent: 0, held: 0 });
  });

  test('with anything but nothing is free and sent', async () => {
    const user = await newCaller();
    const conversation = await newConversation(user, { model });
    const { answer } = await send(user, conversation, { content: says({ empty: true }) });
    expect(answer).toMatchObject({ status: 'sent', content: '', parts: [] });
    expect(await walletOf(user)).toMatchObject({ spent: 0, held: 0 });
  });
});

describe.concurrent('messages of a plan', () => {
  test('are as large as it stores a day, and one is never larger than a message may be', async () => {
    const user = await newUser();
    await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual')`, [user.id]);
    const cheap = await newModel({ credits_per_request: 0, context_window: 1_000_000 });
    const conversation = await newConversation(user, { model: cheap });
    const parts = (bytes: number) => ({
      parts: [
        { type: 'data', data: 'x'.repeat(bytes) },
        { type: 'text', text: 'Hi' },
      ],
    });
    const large = await post(user.accessToken, conversation, parts(1_100_000));
    expect(await refusal(large)).toBe('400 invalid_request');
    // As much as four messages before.
    await sql('select private.has_room_for_content($1, 4000000)', [user.id]);
    const outcomes: string[] = [];
    for (let sent = 0; sent < 2; sent += 1) {
      const response = await post(user.accessToken, conversation, { ...parts(1_000_000), stream: false });
      outcomes.push(response.ok ? 'stored' : await refusal(response));
    }
    expect(outcomes).toEqual(['stored', '429 limit_reached']);
    expect(await messagesOf(conversation)).toHaveLength(2);
  });

  test('of 50 in parallel with 10 left and no paid credits 10 are answered', async () => {
    const user = await newUser();
    const free = await newModel({ credits_per_request: 0 });
    await sql(`update public.workspaces set plan = 'basic' where id = $1`, [user.id]);
    await sql(
      `insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values ($1, 'messages_per_month', 10, 'a test')`,
      [user.id],
    );
    const conversation = await newConversation(user, { model: free });
    const responses = await Promise.all(
      Array.from({ length: 50 }, (_, at) =>
        post(user.accessToken, conversation, {
          content: `number ${at}`,
          parent_message_id: null,
          stream: at % 2 === 0,
        }),
      ),
    );
    const outcomes = await Promise.all(
      responses.map(async (one) => (one.ok ? one.text().then(() => 'answered') : refusal(one))),
    );
    expect(outcomes.filter((one) => one === 'answered')).toHaveLength(10);
    expect(await messagesOf(conversation)).toHaveLength(20);
  });
});
