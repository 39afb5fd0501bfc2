import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../support/stack.ts';
import { AI_URL, logsOf, newCaller, newModel, openai, priceModel, simulate, untilLogged, walletOf } from './helpers.ts';

const USAGE = {
  prompt_tokens: 20,
  completion_tokens: 10,
  total_tokens: 30,
  prompt_tokens_details: { cached_tokens: 8 },
};
/** 12 uncached at 100, 8 cached at 50 and 10 output at 200 dollars a million, 100 credits a dollar. */
const CREDITS = 0.36;

let model: string;
beforeAll(async () => {
  model = await newModel();
});

describe('a plain call', () => {
  test('answers, charges exactly the priced amount and is logged once, completely', async () => {
    const user = await newCaller();
    const { data, response } = await openai(user)
      .chat.completions.create(
        { model, messages: simulate({ usage: USAGE, text: 'Good day' }), max_tokens: 10 },
        {
          headers: {
            'x-ai-scene': 'session_analysis',
            'x-ai-scene-description': 'evening review',
            'x-ai-reference': 'visit-7',
            'x-forwarded-for': '203.0.113.9, 10.0.0.1',
          },
        },
      )
      .withResponse();
    expect(data.choices[0]?.message.content).toBe('Good day');
    expect(response.headers.get('x-credits-charged')).toBe(String(CREDITS));
    expect(response.headers.get('x-credits-available')).toBe(String(3 - CREDITS));
    expect(await walletOf(user)).toEqual({ balance: 3 - CREDITS, spent: CREDITS, held: 0, drift: 0 });

    const logs = await logsOf(user);
    expect(logs).toHaveLength(1);
    expect(logs[0]).toMatchObject({
      workspace_id: user.id,
      user_id: user.id,
      scene: 'session_analysis',
      scene_description: 'evening review',
      reference_id: 'visit-7',
      model,
      prompt_tokens: 20,
      cached_tokens: 8,
      completion_tokens: 10,
      total_tokens: 30,
      estimated_cost: '0.0036',
      credits_charged: '0.360000',
      status: 'success',
      error_message: null,
      error_code: null,
      ip_address: '203.0.113.9',
      request_id: response.headers.get('x-request-id'),
    });
    expect(logs[0]?.duration).toBeGreaterThanOrEqual(0);
    expect(logs[0]?.user_agent).toContain('OpenAI');
    expect(logs[0]?.request_data).toMatchObject({ model, max_tokens: 10 });
    expect(logs[0]?.response_data).toMatchObject({ usage: USAGE, choices: [{ logprobs: null }] });

    const [entry] = await sql(
      `select * from public.credit_transactions where workspace_id = $1 and transaction_type = 'debit'`,
      [user.id],
    );
    expect(entry).toMatchObject({ amount: '-0.360000', reason: 'generation', feature_code: 'session_analysis' });
    expect(entry?.metadata).toMatchObject({ model, request_id: logs[0]?.request_id });
  });

  test('passes fields that the model lists through to the provider and back untouched', async () => {
    const user = await newCaller();
    const answer = await openai(user).chat.completions.create({
      model: await newModel({ extra_fields: ['a_field_of_next_year'] }, { output: 1 }),
      messages: [{ role: 'user', content: 'weather?' }],
      tools: [{ type: 'function', function: { name: 'look_up', parameters: { type: 'object' } } }],
      tool_choice: 'required',
      ...{ a_field_of_next_year: { deep: [1] } },
    });
    expect(answer.choices[0]?.message.tool_calls?.[0]).toMatchObject({ function: { name: 'look_up' } });
    expect((await logsOf(user))[0]?.request_data).toMatchObject({ a_field_of_next_year: { deep: [1] } });
  });

  test('bills thinking tokens that a provider counts only in the total', async () => {
    const user = await newCaller();
    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 40 };
    await openai(user).chat.completions.create({ model, messages: simulate({ usage }) });
    expect((await logsOf(user))[0]).toMatchObject({ prompt_tokens: 10, completion_tokens: 30 });
  });

  test('charges zero for an explicit usage of zero, and what was counted where usage is missing', async () => {
    const user = await newCaller();
    const usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
    await openai(user).chat.completions.create({ model, messages: simulate({ usage }) });
    expect((await walletOf(user))?.balance).toBe(3);
    await openai(user).chat.completions.create({ model, messages: simulate({ usage: null, text: 'x'.repeat(40) }) });
    expect((await walletOf(user))?.balance).toBeLessThan(3);
    expect((await logsOf(user)).map((log) => log.usage_source)).toEqual(['reported', 'counted']);
    expect((await logsOf(user))[1]?.completion_tokens).toBeGreaterThan(0);
  });

  test('charges a fixed price where the model has one, and a markup where it has one', async () => {
    const user = await newCaller();
    const fixed = await newModel({ credits_per_request: 0.25 });
    await openai(user).chat.completions.create({ model: fixed, messages: simulate({ usage: USAGE }) });
    expect((await walletOf(user))?.balance).toBe(2.75);
    const marked = await newModel({ markup: 0.5 });
    await openai(user).chat.completions.create({ model: marked, messages: simulate({ usage: USAGE }), max_tokens: 20 });
    expect((await walletOf(user))?.spent).toBeCloseTo(0.25 + 0.5 * CREDITS, 6);
  });

  test('stores what jsonb cannot hold as something it can', async () => {
    const user = await newCaller();
    const cheap = await newModel({ credits_per_request: 0, content_parts: { image_url: 100 } });
    const odd = `nul ${String.fromCharCode(0)} lone ${String.fromCharCode(0xd800)}`;
    await openai(user).chat.completions.create({
      model: cheap,
      messages: [
        {
          role: 'user',
          content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(999)}` } }],
        },
        { role: 'user', content: odd },
      ],
      max_tokens: 5,
    });
    const logged = JSON.stringify((await logsOf(user))[0]?.request_data);
    expect(logged).toContain('lone \uFFFD');
    expect(logged).not.toContain('AAAA');
  });

  test('keeps its price when the price list changes while it runs', async () => {
    const user = await newCaller();
    const changing = await newModel();
    const call = openai(user).chat.completions.create({
      model: changing,
      messages: simulate({ usage: USAGE, delay_ms: 400 }),
    });
    await new Promise((resolve) => setTimeout(resolve, 150));
    await priceModel(changing, { input: 9000 });
    await call;
    expect((await walletOf(user))?.spent).toBe(CREDITS);
  });
});

describe('a stream', () => {
  test('arrives as it is made, charges exactly and is logged once', async () => {
    const user = await newCaller();
    const stream = await openai(user).chat.completions.create({
      model,
      messages: simulate({ usage: USAGE, text: 'one two three four', chunks: 4, chunk_delay_ms: 200 }),
      stream: true,
      max_tokens: 10,
    });
    let heldAtFirst: number | undefined;
    let text = '';
    for await (const chunk of stream) {
      expect(chunk.choices).toHaveLength(1); // no usage chunk for a client that did not ask for one
      text += chunk.choices[0]?.delta.content ?? '';
      if (text) heldAtFirst ??= (await walletOf(user))?.held;
    }
    expect(text).toBe('one two three four');
    expect(heldAtFirst).toBeGreaterThan(0); // the call was still under way when its first words were here
    expect(await walletOf(user)).toEqual({ balance: 3 - CREDITS, spent: CREDITS, held: 0, drift: 0 });
    const logs = await logsOf(user);
    expect(logs).toHaveLength(1);
    expect(logs[0]).toMatchObject({ status: 'success', prompt_tokens: 20, completion_tokens: 10, scene: 'text_chat' });
    expect(logs[0]?.response_data).toMatchObject({
      choices: [{ index: 0, message: { role: 'assistant', content: 'one two three four' }, finish_reason: 'stop' }],
    });
  });

  test('gives usage to a client that asks for it', async () => {
    const user = await newCaller();
    const stream = await openai(user).chat.completions.create({
      model,
      messages: simulate({ usage: USAGE }),
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: USAGE });
  });

  test('from a provider that leaves out [DONE] is whole all the same', async () => {
    const user = await newCaller();
    const stream = await openai(user).chat.completions.create({
      model,
      messages: simulate({ usage: USAGE, no_done: true }),
      stream: true,
      max_tokens: 10,
    });
    for await (const _ of stream);
    expect((await logsOf(user))[0]).toMatchObject({ status: 'success', credits_charged: '0.360000' });
  });

  test('whose client leaves is read to its end, charged for what it was and logged as canceled', async () => {
    const user = await newCaller();
    const stream = await openai(user).chat.completions.create({
      model,
      messages: simulate({ usage: USAGE, text: 'a b c d e f g h', chunks: 8, chunk_delay_ms: 50 }),
      stream: true,
      max_tokens: 10,
    });
    for await (const _ of stream) break;
    const logs = await untilLogged(user, 1);
    expect(logs).toHaveLength(1);
    expect(logs[0]).toMatchObject({ status: 'canceled', credits_charged: '0.360000' });
    expect(await walletOf(user)).toEqual({ balance: 3 - CREDITS, spent: CREDITS, held: 0, drift: 0 });
  });
});

describe('parallel calls of one wallet', () => {
  test('never use more than it has', async () => {
    const user = await newCaller();
    const one = await newModel({ credits_per_request: 1 });
    const calls = Array.from({ length: 12 }, () =>
      fetch(`${AI_URL}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${user.accessToken}` },
        body: JSON.stringify({ model: one, messages: simulate({ delay_ms: 100 }) }),
      }).then((response) => response.status),
    );
    const statuses = await Promise.all(calls);
    expect(statuses.filter((status) => status === 200)).toHaveLength(3);
    expect(statuses.filter((status) => status === 402)).toHaveLength(9);
    expect(await walletOf(user)).toEqual({ balance: 0, spent: 3, held: 0, drift: 0 });
    expect(await logsOf(user)).toHaveLength(12);
  });
});
