import { expect, test } from 'vitest';
import { anonClient, env } from '../support/stack.ts';
import { AI_URL, newCaller, newModel, openai } from './helpers.ts';

test('lists the models on offer, and one of them', async () => {
  const [user, model, hidden] = await Promise.all([newCaller(), newModel(), newModel({ is_active: false })]);
  const names = (await openai(user).models.list()).data.map(({ id }) => id);
  expect(names).toContain(model);
  expect(names).not.toContain(hidden);
  expect(await openai(user).models.retrieve(model)).toMatchObject({
    id: model,
    object: 'model',
    owned_by: 'basemeter',
    display_name: model,
    scene: 'text_chat',
    price: {
      credits_per_request: 0,
      credits_per_million_input_tokens: 10_000,
      credits_per_million_cached_input_tokens: 5_000,
      credits_per_million_output_tokens: 20_000,
      credits_per_image: 0,
    },
  });
  await expect(openai(user).models.retrieve(hidden)).rejects.toMatchObject({ status: 404, code: 'not_found' });
});

test('anyone reads the list with supabase-js, and no upstream name or provider price', async () => {
  const model = await newModel({ upstream_model: 'secret-upstream', markup: 1.25 });
  const { data } = await anonClient().from('models').select().eq('model', model).single();
  expect(data).toMatchObject({ display_name: model, price: { credits_per_million_output_tokens: 25_000 } });
  expect(JSON.stringify(data)).not.toMatch(/secret-upstream|usd|markup|provider/);
});

test('lists nothing to a caller without a user', async () => {
  const response = await fetch(`${AI_URL}/models`, { headers: { authorization: `Bearer ${env.ANON_KEY}` } });
  expect(response.status).toBe(401);
});

test('a browser may call with every header that the official client sends, and read the charge', async () => {
  const headers = 'authorization,content-type,x-stainless-retry-count,x-stainless-timeout,x-ai-scene,traceparent';
  const preflight = await fetch(`${AI_URL}/chat/completions`, {
    method: 'OPTIONS',
    headers: {
      origin: 'https://app.example.test',
      'access-control-request-method': 'POST',
      'access-control-request-headers': headers,
    },
  });
  expect(preflight.ok).toBe(true);
  expect(preflight.headers.get('access-control-allow-origin')).toBe('*');
  for (const header of headers.split(','))
    expect(preflight.headers.get('access-control-allow-headers')).toContain(header);
  const refused = await fetch(`${AI_URL}/models`, { headers: { origin: 'https://app.example.test' } });
  expect(refused.headers.get('access-control-allow-origin')).toBe('*');
  expect(refused.headers.get('access-control-expose-headers')).toContain('x-credits-charged');
});
