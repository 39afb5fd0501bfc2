/** The parts of function `billing` that can be had without the platform: its Creem client, settings and requests. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseForm } from '@basemeter/simulators';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { moderate } from '../../supabase/functions/_shared/moderation.ts';
import type { PaymentEvent } from '../../supabase/functions/_shared/payments/event.ts';
import { readCreemAccess } from '../../supabase/functions/_shared/platform-keys.ts';
import { createCreem } from '../../supabase/functions/billing/creem.ts';
import {
  cancelRequest,
  checkoutRequest,
  readRequest,
  requireReturnUrl,
} from '../../supabase/functions/billing/request.ts';
import { createGateways } from '../../supabase/functions/billing/settings.ts';
import { createStripe } from '../../supabase/functions/billing/stripe.ts';
import { withProducts } from '../../supabase/functions/stripe-webhook/line-items.ts';
import { orderOf } from './helpers.ts';

describe('the Creem client', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    vi.restoreAllMocks();
  });

  /** Creem that gives these answers in turn, the last again and again; 0 is silence. */
  async function creemThatAnswers(answers: [status: number, body: string][]) {
    const seen: string[] = [];
    server = createServer((request, response) => {
      const [status, body] = answers[Math.min(seen.length, answers.length - 1)] ?? [500, ''];
      seen.push(`${request.method} ${request.url}`);
      if (status > 0) response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    });
    const listening = server;
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const baseUrl = `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
    const log = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    return { creem: createCreem({ apiKey: 'creem_secret', baseUrl, timeout: 300, firstWait: 1 }), seen, log };
  }

  const subscription = JSON.stringify({ id: 'sub_1', status: 'active' });

  test('asks again for what may arrive twice, and not for what may not', async () => {
    const open = JSON.stringify({ id: 'ch_1', checkout_url: 'http://localhost/pay' });
    const flaky = await creemThatAnswers([
      [500, ''],
      [503, ''],
      [200, open],
    ]);
    expect(await flaky.creem.checkout(orderOf('creem', 'pro'))).toMatchObject({ checkout_id: 'ch_1' });
    expect(flaky.seen).toHaveLength(3);
    server?.close();
    const broken = await creemThatAnswers([
      [500, ''],
      [200, subscription],
    ]);
    await expect(broken.creem.cancel('sub_1', 'now')).rejects.toMatchObject({ status: 502, code: 'upstream_error' });
    expect(broken.seen).toHaveLength(1);
  });

  test('asks again after 429, which did nothing', async () => {
    const { creem, seen } = await creemThatAnswers([
      [429, ''],
      [200, subscription],
    ]);
    expect(await creem.resume('sub_1')).toBe('active');
    expect(seen).toHaveLength(2);
  });

  test('tells silence from refusal, and shows neither words nor key', async () => {
    const silent = await creemThatAnswers([[0, '']]);
    await expect(silent.creem.resume('sub_1')).rejects.toMatchObject({ status: 504, code: 'upstream_timeout' });
    server?.closeAllConnections();
    server?.close();
    const refusing = await creemThatAnswers([[403, '{"message":["no creem_secret here"]}']]);
    const error = await refusing.creem.resume('sub_1').catch((thrown) => thrown);
    expect(error).toMatchObject({ status: 502, code: 'upstream_error', platformStatus: 403 });
    expect(error.message).not.toContain('no ');
    expect(JSON.stringify(refusing.log.mock.calls)).toContain('no [key] here');
  });

  test('an answer of another shape is a failure, and is not asked for again', async () => {
    const { creem, seen } = await creemThatAnswers([[200, '<html>']]);
    await expect(creem.portal('cust_1', '')).rejects.toMatchObject({ code: 'upstream_error' });
    expect(seen).toHaveLength(1);
  });
});

describe('an answer without end', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });
  const access = { apiKey: 'creem_secret', baseUrl: 'http://creem.test' };
  const env = {
    get: (name: string) => (name === 'CREEM_API_KEY' || name === 'STRIPE_SECRET_KEY' ? 'a key' : undefined),
  };
  const block = { provider: 'creem', flagged: 'block', failed: 'block' } as const;
  const bought = { payment: { checkout_id: 'cs_1' } } as PaymentEvent['facts'];
  const asking: Record<string, () => Promise<unknown>> = {
    'of Creem': () => createCreem(access).cancel('sub_1', 'now'),
    'of Stripe': () => createStripe({ secretKey: 'sk_1' }).cancel('sub_1', 'now'),
    'of the moderation': () => moderate(block, 'a cat', 'req_1', env),
    'about what was sold': () => withProducts({ facts: bought } as PaymentEvent, env),
  };

  test.each(Object.keys(asking))('%s is read for a MiB', async (name) => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    let pieces = 0;
    const pull = (controller: ReadableStreamDefaultController) => {
      pieces += 1;
      if (pieces > 100) controller.close();
      else controller.enqueue(new Uint8Array(64 * 1024).fill(32));
    };
    vi.stubGlobal('fetch', async () => new Response(new ReadableStream({ pull })));
    await asking[name]?.().catch(() => undefined);
    expect(pieces).toBeGreaterThan(15);
    expect(pieces).toBeLessThan(25);
  });
});

describe('settings', () => {
  const env = (variables: Record<string, string>) => ({ get: (name: string) => variables[name] });

  test('the key says which of Creem’s APIs it is for', () => {
    expect(readCreemAccess(env({ CREEM_API_KEY: 'creem_test_1' })).baseUrl).toBe('https://test-api.creem.io');
    expect(readCreemAccess(env({ CREEM_API_KEY: 'creem_1' })).baseUrl).toBe('https://api.creem.io');
    const own = { CREEM_API_KEY: 'creem_1', CREEM_API_URL: 'http://localhost:1/creem/' };
    expect(readCreemAccess(env(own)).baseUrl).toBe('http://localhost:1/creem');
  });

  test('a platform without a key is unavailable, and only the log says why', () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    expect(() => createGateways(env({}))('stripe')).toThrow(
      expect.objectContaining({ status: 503, code: 'unavailable', message: expect.not.stringContaining('STRIPE') }),
    );
    expect(log).toHaveBeenCalledWith('STRIPE_SECRET_KEY is not set');
    log.mockRestore();
  });
});

describe('requests', () => {
  const post = (body: string) => new Request('http://localhost', { method: 'POST', body });

  test('nothing is an empty body, null is absent', async () => {
    expect(await readRequest(post(''), cancelRequest)).toEqual({ at: 'period_end' });
    expect(await readRequest(post('{"workspace_id":null,"at":"now"}'), cancelRequest)).toMatchObject({ at: 'now' });
  });

  test('a body without end is not read to its end', async () => {
    let pieces = 0;
    const pull = (controller: ReadableStreamDefaultController) => {
      pieces += 1;
      if (pieces > 200) controller.close();
      else controller.enqueue(new Uint8Array(1024 * 1024));
    };
    const init = { method: 'POST', body: new ReadableStream({ pull }), duplex: 'half' };
    const request = new Request('http://localhost', init as RequestInit);
    await expect(readRequest(request, cancelRequest)).rejects.toMatchObject({ status: 400, code: 'invalid_request' });
    expect(pieces).toBeLessThan(100);
  });

  test.each([
    ['{', null],
    ['[]', null],
    ['{"payment_product_id":"x","success_url":"http://localhost"}', 'payment_product_id'],
    ['{"payment_product_id":"00000000-0000-4000-8000-000000000001"}', 'success_url'],
    [
      '{"payment_product_id":"00000000-0000-4000-8000-000000000001","success_url":"x","worksapce_id":"y"}',
      'worksapce_id',
    ],
  ])('%s is refused, naming %s', async (body, param) => {
    await expect(readRequest(post(body), checkoutRequest)).rejects.toMatchObject({ code: 'invalid_request', param });
  });

  test('people are sent to the project’s own pages alone', () => {
    const allowed = ['http://localhost:3000', 'https://app.example.test'];
    // What goes out is what was parsed: an address that others read another way goes as it was understood here.
    for (const [url, sent] of [
      ['http://localhost:3000/done?x=1#y', 'http://localhost:3000/done?x=1#y'],
      ['https://app.example.test:443', 'https://app.example.test/'],
      ['https:\\\\app.example.test\\@evil.test', 'https://app.example.test/@evil.test'],
      [' https://app.exa\tmple.test/a\nb', 'https://app.example.test/ab'],
      ['https://app.example.test/{CHECKOUT_SESSION_ID}?id={CHECKOUT_SESSION_ID}', undefined],
    ] as const) {
      expect(requireReturnUrl(url, 'success_url', allowed)).toBe(sent ?? url);
    }
    const others = ['http://localhost:3001', 'https://app.example.test.evil.test', 'javascript:alert(1)', '//x', ''];
    for (const url of [...others, 'https://app.example.test@evil.test/', 'http://app.example.test']) {
      expect(() => requireReturnUrl(url, 'success_url', allowed)).toThrow(
        expect.objectContaining({ code: 'invalid_request', param: 'success_url' }),
      );
    }
  });
});

test('forms are read as Stripe’s libraries write them', () => {
  expect(parseForm('a[b]=1&items[0][price]=p&items[1][price]=q&list[]=x&empty=&m[0][k][0]=z')).toEqual({
    a: { b: '1' },
    items: [{ price: 'p' }, { price: 'q' }],
    list: 'x',
    empty: '',
    m: [{ k: ['z'] }],
  });
});
