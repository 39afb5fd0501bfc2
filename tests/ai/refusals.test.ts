import OpenAI from 'openai';
import { beforeAll, describe, expect, test } from 'vitest';
import { env, serviceClient, sql, type TestUser } from '../support/stack.ts';
import { AI_URL, logsOf, newCaller, newKey, newModel, openai, walletOf } from './helpers.ts';

const messages = [{ role: 'user' as const, content: 'Hello' }];

let model: string;
let user: TestUser;
beforeAll(async () => {
  [model, user] = await Promise.all([newModel(), newCaller()]);
});

function post(body: string, token: string | null = user.accessToken, headers: Record<string, string> = {}) {
  const authorization: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
  return fetch(`${AI_URL}/chat/completions`, { method: 'POST', headers: { ...authorization, ...headers }, body });
}

describe('admission', () => {
  test('a wallet that cannot pay gets 402 insufficient_credits, and a log row', async () => {
    const poor = await newCaller();
    const dear = await newModel({ credits_per_request: 3.000001 });
    const error = await openai(poor)
      .chat.completions.create({ model: dear, messages })
      .catch((thrown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ status: 402, code: 'insufficient_credits', type: 'insufficient_quota' });
    expect(error.requestID).toBe((await logsOf(poor))[0]?.request_id);
    expect(await logsOf(poor)).toMatchObject([
      { status: 'refused', error_code: 'insufficient_credits', credits_charged: '0.000000', model: dear },
    ]);
    expect(await walletOf(poor)).toEqual({ balance: 3, spent: 0, held: 0, drift: 0 });
  });

  test('a call is held for the higher of two limits', async () => {
    const dear = await newModel({ max_output_tokens: 1_000_000 }, { output: 100 });
    const limits = { max_completion_tokens: 1, max_tokens: 200 };
    const { response } = await openai(user)
      .chat.completions.create({ model: dear, messages, stream: true, ...limits })
      .withResponse();
    await response.body?.cancel();
    expect(response.headers.get('x-credits-held')).toBe('2');
  });

  test('an unknown model gets 404 not_found', async () => {
    const error = await openai(user)
      .chat.completions.create({ model: 'no-such', messages })
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ status: 404, code: 'not_found', param: 'model' });
  });

  test('a model for another endpoint gets 400: its price is not for this one', async () => {
    const image = await newModel({ scene: 'image_generation' }, { image: 1 });
    const error = await openai(user)
      .chat.completions.create({ model: image, messages })
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ status: 400, code: 'invalid_request', param: 'model' });
  });

  test('a model that is not on offer gets 404 too', async () => {
    const hidden = await newModel({ is_active: false });
    const error = await openai(user)
      .chat.completions.create({ model: hidden, messages })
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ status: 404, code: 'not_found' });
  });

  test('a disabled account gets 403 account_disabled', async () => {
    const disabled = await newCaller();
    await serviceClient().from('users').update({ is_active: false }).eq('id', disabled.id);
    const error = await openai(disabled)
      .chat.completions.create({ model, messages })
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ status: 403, code: 'account_disabled', type: 'permission_error' });
  });

  test('an account whose sign-up could not finish is completed by its first call', async () => {
    const broken = await newCaller();
    await sql('delete from public.users where id = $1', [broken.id]); // what a failed trigger leaves behind
    await sql('delete from private.signup_claims');
    await openai(broken).chat.completions.create({ model, messages, max_tokens: 1 });
    expect((await walletOf(broken))?.spent).toBeGreaterThan(0);
  });

  test('the token of a deleted account gets 401 not_authenticated', async () => {
    const gone = await newCaller();
    await serviceClient().auth.admin.deleteUser(gone.id);
    const error = await openai(gone)
      .chat.completions.create({ model, messages })
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ status: 401, code: 'not_authenticated', type: 'authentication_error' });
  });
});

describe('callers without a signed-in user', () => {
  const tokens = {
    none: null,
    'the anon key': env.ANON_KEY,
    'the service role key': env.SERVICE_ROLE_KEY,
    'the publishable key': env.PUBLISHABLE_KEY,
    garbage: 'a.b.c',
  };
  test.each(Object.entries(tokens))('%s: 401 not_authenticated', async (_name, token) => {
    const response = await post(JSON.stringify({ model, messages }), token);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ error: { code: 'not_authenticated', type: 'authentication_error' } });
  });

  test.each([env.PUBLISHABLE_KEY, env.SECRET_KEY])(
    'a key of the project is told that it calls nothing here',
    async (key) => {
      const answer = await (await post('{}', key)).json();
      expect(answer).toMatchObject({
        error: { code: 'not_authenticated', message: expect.stringContaining('call nothing here') },
      });
    },
  );

  test('a token of ours whose role is no signed-in user: 401', async () => {
    const other = await newCaller();
    await sql(`update auth.users set role = 'anon' where id = $1`, [other.id]);
    const { data } = await other.client.auth.refreshSession();
    expect((await post('{}', data.session?.access_token)).status).toBe(401);
  });

  test('are known before their body is read: the same 401 for any body, and as fast', async () => {
    for (const body of ['{', JSON.stringify({ model, messages }), `"${'x'.repeat(1_000_000)}`]) {
      for (const headers of [{ authorization: 'Bearer sk-x' }, { 'x-api-key': 'sk-x' }] as Record<string, string>[]) {
        const response = await post(body, null, headers);
        expect(response.status).toBe(401);
        expect(await response.json()).toMatchObject({
          error: { code: 'invalid_api_key', type: 'authentication_error' },
        });
      }
      expect((await post(body, 'a.b.c')).status).toBe(401);
    }
  });

  test('an API key that was revoked is refused by admission while it is still known', async () => {
    const { id, key } = await newKey(user);
    const ask = () => post(JSON.stringify({ model, messages, max_tokens: 1 }), null, { 'x-api-key': key });
    expect((await ask()).status).toBe(200);
    await user.client.rpc('revoke_api_key', { api_key_id: id });
    const response = await ask();
    expect([response.status, await response.json()]).toMatchObject([401, { error: { code: 'invalid_api_key' } }]);
  });

  test('a token with a changed signature: 401', async () => {
    const [header, payload] = user.accessToken.split('.');
    expect((await post('{}', `${header}.${payload}.${'A'.repeat(86)}`)).status).toBe(401);
  });
});

describe('bad input is a 400 that names what is off', () => {
  const bodies: [string, string, string | null][] = [
    ['no JSON', '{"model": ', null],
    ['an empty body', '', null],
    ['no object', '[1]', null],
    ['no model', JSON.stringify({ messages }), 'model'],
    ['an empty model', JSON.stringify({ model: '', messages }), 'model'],
    ['no messages', JSON.stringify({ model: 'x' }), 'messages'],
    ['empty messages', JSON.stringify({ model: 'x', messages: [] }), 'messages'],
    ['a message without a role', JSON.stringify({ model: 'x', messages: [{}] }), 'messages.0.role'],
    ['a negative limit', JSON.stringify({ model: 'x', messages, max_tokens: -1 }), 'max_tokens'],
    [
      'a fractional limit',
      JSON.stringify({ model: 'x', messages, max_completion_tokens: 1.5 }),
      'max_completion_tokens',
    ],
    ['too many choices', JSON.stringify({ model: 'x', messages, n: 1e9 }), 'n'],
    ['a stream that is no boolean', JSON.stringify({ model: 'x', messages, stream: 'yes' }), 'stream'],
  ];
  test.each(bodies)('%s', async (_name, body, param) => {
    const response = await post(body);
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toContain('application/json');
    expect(await response.json()).toMatchObject({
      error: { code: 'invalid_request', type: 'invalid_request_error', param, message: expect.any(String) },
    });
  });

  test('an unknown scene', async () => {
    const response = await post(JSON.stringify({ model, messages }), user.accessToken, { 'x-ai-scene': 'gambling' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: 'x-ai-scene' } });
  });

  test('a model name of odd characters is an unknown model, not a server error', async () => {
    const response = await post(JSON.stringify({ model: `x${String.fromCharCode(0)}"'\uD800`, messages }));
    expect(response.status).toBe(404);
  });

  test.each([200, 5_000, 500_000])('a body nested %i levels deep', async (depth) => {
    const deep = '['.repeat(depth) + ']'.repeat(depth);
    const response = await post(`{"model":"${model}","extra":${deep},"messages":[{"role":"user","content":"x"}]}`);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_request' } });
  });

  test('field names that jsonb cannot hold are logged as it can', async () => {
    const caller = await newCaller();
    const odd = '{"\\u0000k\\ud800":"v"}';
    const response = await post(
      `{"model":"${model}","metadata":${odd},"max_tokens":1,"messages":[{"role":"user","content":"x"}]}`,
      caller.accessToken,
    );
    expect(response.status).toBe(200);
    expect((await logsOf(caller))[0]?.request_data).toMatchObject({ metadata: { '\uFFFDk\uFFFD': 'v' } });
  });

  test.each(['fe80::1%eth0', 'nobody', '999.1.1.1', ''])(
    'an address that is none (%s) is left out',
    async (address) => {
      const caller = await newCaller();
      const response = await post(JSON.stringify({ model, messages, max_tokens: 1 }), caller.accessToken, {
        'x-forwarded-for': address,
      });
      expect(response.status).toBe(200);
      expect(await logsOf(caller)).toMatchObject([{ status: 'success', ip_address: expect.not.stringContaining('%') }]);
    },
  );

  test('a path that does not exist', async () => {
    const response = await fetch(`${AI_URL}/nothing`, { headers: { authorization: `Bearer ${user.accessToken}` } });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { code: 'not_found' } });
  });

  test.each([
    ['/responses', 'POST /v1/chat/completions'],
    ['/completions', 'POST /v1/chat/completions'],
    ['/messages', 'POST /v1/chat/completions'],
    ['/images/edits', 'POST /v1/images/generations'],
    ['/videos', 'function video'],
    ['/../chat/completions', 'begin with /v1'],
    ['/nothing', 'There are POST /v1/chat/completions, /v1/embeddings and /v1/images/generations, and GET /v1/models.'],
  ])('a path that is not served (%s) names what to use instead', async (path, instead) => {
    const response = await fetch(`${AI_URL}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${user.accessToken}` },
      body: '{}',
    });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      error: { code: 'not_found', message: expect.stringContaining(instead) },
    });
  });

  test('a path that is there for another method says which', async () => {
    const response = await fetch(`${AI_URL}/chat/completions`, {
      headers: { authorization: `Bearer ${user.accessToken}` },
    });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      error: { message: expect.stringMatching(/ Use POST \/v1\/chat\/completions\.$/) },
    });
  });

  test('a slash at the end is the same path', async () => {
    const headers = { authorization: `Bearer ${user.accessToken}` };
    const body = JSON.stringify({ model, messages, max_tokens: 1 });
    expect((await fetch(`${AI_URL}/chat/completions/`, { method: 'POST', headers, body })).status).toBe(200);
    expect((await fetch(`${AI_URL}/models/`, { headers })).status).toBe(200);
    expect((await fetch(`${AI_URL}/models/${model}/`, { headers })).status).toBe(200);
  });
});
