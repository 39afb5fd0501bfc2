/** Further answers to a question, the rest of one that was cut off, and what a model is sent of long conversations. */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { logsOf, newModel, newProvider, seenBySimulator, walletOf } from '../ai/helpers.ts';
import { sql } from '../support/stack.ts';
import {
  messagesOf,
  newConversation,
  newRichCaller,
  post,
  readStream,
  refusal,
  says,
  send,
  writeHistory,
} from './helpers.ts';

const USAGE = { prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 };

let model: string;
beforeAll(async () => {
  model = await newModel();
});

describe('another answer', () => {
  test('stands beside the first one, on a branch of its own', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user, { model });
    const key = randomUUID();
    const first = await send(user, conversation, { content: says({ key, text: 'first', usage: USAGE }) });
    const later = await send(user, conversation, { content: 'and then' });
    const other = await newModel();
    const asked = { answer_id: randomUUID(), model: other };
    const again = await send(user, conversation, asked, `/${first.message.id}/answers`);
    expect(again.message.id).toBe(first.message.id);
    expect(again.answer).toMatchObject({ id: asked.answer_id, parent_message_id: first.message.id, model_used: other });
    // Nothing of the first answer, or of what came after it.
    const seen = (await seenBySimulator(key)).requests;
    expect(seen[1]?.body.messages).toEqual([{ role: 'user', content: first.message.content }]);
    // The same request gets the same answer, another under its id none.
    expect(await send(user, conversation, asked, `/${first.message.id}/answers`)).toEqual(again);
    const path = `/${first.message.id}/answers`;
    const another = await post(user.accessToken, conversation, { ...asked, model, stream: false }, path);
    expect(await refusal(another)).toBe('409 idempotency_conflict');
    expect((await messagesOf(conversation)).map(({ id }) => id)).toEqual(
      [first, later].flatMap(({ message, answer }) => [message.id, answer.id]).concat(asked.answer_id),
    );
    // Each is a message to its plan, as each call that a person asks for.
    expect(await logsOf(user)).toHaveLength(3);
    const { data } = await user.client.from('conversations').select('current_leaf_id').eq('id', conversation).single();
    expect(data?.current_leaf_id).toBe(asked.answer_id);
  });

  test('is to a question of the conversation', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user, { model });
    const { message, answer } = await send(user, conversation, { content: 'Hello' });
    const elsewhere = await newConversation(user, { model });
    expect({
      'to an answer': await refusal(await post(user.accessToken, conversation, {}, `/${answer.id}/answers`)),
      'to another conversation': await refusal(await post(user.accessToken, elsewhere, {}, `/${message.id}/answers`)),
      'to nothing': await refusal(await post(user.accessToken, conversation, {}, '/x/answers')),
    }).toEqual({
      'to an answer': '400 invalid_request',
      'to another conversation': '404 not_found',
      'to nothing': '404 not_found',
    });
  });
});

describe('the rest of an answer', () => {
  test('is added to it, charged as a call and counted as no message', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user, { model });
    const cut = says({ text: 'one two three four five six', usage: USAGE });
    const { answer, message } = await send(user, conversation, { content: cut, max_output_tokens: 3 });
    expect(answer.metadata.finish_reason).toBe('length');
    const key = randomUUID();
    const rest = await newModel({
      upstream_model: `simulator-chat[[simulate:${JSON.stringify({ key, text: ' — the rest.' })}]]`,
    });
    const response = await post(user.accessToken, conversation, { model: rest }, `/${answer.id}/continue`);
    expect(response.headers.get('x-answer-id')).toBe(answer.id);
    expect((await readStream(response)).isDone).toBe(true);
    const [, whole] = await messagesOf(conversation);
    expect(whole).toMatchObject({
      id: answer.id,
      status: 'sent',
      parts: [{ type: 'text' }],
      metadata: { finish_reason: 'stop' },
    });
    expect(whole?.content.startsWith(answer.content)).toBe(true);
    expect(whole?.content.length).toBeGreaterThan(answer.content.length);
    const logs = await logsOf(user);
    expect(logs.map(({ message_id }) => message_id)).toEqual([answer.id, answer.id]);
    expect(whole?.cost).toBeCloseTo(
      logs.reduce((sum, log) => sum + Number(log.estimated_cost), 0),
      9,
    );
    expect(whole?.completion_tokens).toBe(logs.reduce((sum, log) => sum + Number(log.completion_tokens), 0));
    // Only the message that was sent counts.
    const [counts] = await sql(
      `select to_jsonb(c) as counts from private.ai_request_counts c where workspace_id = $1`,
      [user.id],
    );
    expect(Object.entries(counts?.counts).filter(([name]) => /messages$/.test(name))).toEqual([[expect.anything(), 1]]);
    // It is whole now, and a question with a further message behind it stays as it is.
    const again = await post(user.accessToken, conversation, {}, `/${answer.id}/continue`);
    expect(await refusal(again)).toBe('409 invalid_state');
    expect(await refusal(await post(user.accessToken, conversation, {}, `/${message.id}/continue`))).toBe(
      '400 invalid_request',
    );
  });

  test('that fails leaves what was there', async () => {
    const user = await newRichCaller();
    const conversation = await newConversation(user, { model });
    const cut = says({ text: 'one two three four five six', usage: USAGE });
    const { answer } = await send(user, conversation, { content: cut, max_output_tokens: 3 });
    const failing = await newModel({ upstream_model: 'simulator-chat[[simulate:{"error":401}]]' });
    const response = await post(user.accessToken, conversation, { model: failing }, `/${answer.id}/continue`);
    expect(await refusal(response)).toBe('502 upstream_error');
    const [, left] = await messagesOf(conversation);
    expect(left).toMatchObject({ status: 'stopped', content: answer.content, cost: answer.cost });
    expect((await send(user, conversation, { model }, `/${answer.id}/continue`)).answer.status).toBe('sent');
    expect(await walletOf(user)).toMatchObject({ held: 0, drift: 0 });
  });
});

describe('a long conversation', () => {
  test('is sent as far as it fits, its newest messages; what had no counts is counted once', async () => {
    const user = await newRichCaller();
    const small = await newModel({ context_window: 600, max_output_tokens: 100 });
    const conversation = await newConversation(user, { model: small });
    // Written by supabase-js and by an import: nobody counted them.
    await writeHistory(user.id, conversation, 100, 20);
    const key = randomUUID();
    await send(user, conversation, { content: says({ key, text: 'fine' }) });
    const [seen] = (await seenBySimulator(key)).requests;
    const messages = seen?.body.messages as { role: string; content: string }[];
    expect(messages.at(-1)?.content).toContain(key);
    expect(messages.at(-2)?.content).toContain('number 99');
    expect(messages[0]?.role).toBe('user');
    expect(messages.length).toBeGreaterThan(10);
    expect(messages.length).toBeLessThan(30);
    const [counted] = await sql(
      'select count(content_tokens)::integer as counted from public.messages where conversation_id = $1',
      [conversation],
    );
    expect(counted?.counted).toBeGreaterThanOrEqual(messages.length + 1);
    const longest = 'word '.repeat(600);
    const tooLong = await post(user.accessToken, conversation, { content: longest });
    expect(await refusal(tooLong)).toBe('400 invalid_request');
    expect(await messagesOf(conversation)).toHaveLength(102);
  });

  test('of which its provider says that it is too long is sent once more, shorter', async () => {
    const user = await newRichCaller();
    const bodies: { messages: { content: string }[] }[] = [];
    const provider = createServer(async (request, response) => {
      let text = '';
      for await (const piece of request) text += piece;
      bodies.push(JSON.parse(text));
      const error = { code: 'context_length_exceeded', message: "This model's maximum context length is 500 tokens." };
      const message = { role: 'assistant', content: 'Now.' };
      const answer = { choices: [{ index: 0, message, finish_reason: 'stop' }], usage: USAGE };
      response.writeHead(bodies.length === 1 ? 400 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(bodies.length === 1 ? { error } : answer));
    });
    await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
    const base_url = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
    const raw = await newProvider({ base_url, api_key_env: 'AI_API_KEY' });
    const small = await newModel({ context_window: 600, max_output_tokens: 100, provider: raw });
    const conversation = await newConversation(user, { model });
    await writeHistory(user.id, conversation, 40, 20);
    const { answer } = await send(user, conversation, { content: 'last', model: small });
    expect(answer).toMatchObject({ status: 'sent', content: 'Now.' });
    expect(bodies).toHaveLength(2);
    expect(bodies[1]?.messages.length).toBeLessThan(bodies[0]?.messages.length ?? 0);
    expect(bodies[1]?.messages.at(-1)?.content).toBe('last');
    provider.close();
    provider.closeAllConnections();
  });
});
