/** What the webhooks let in: bodies that their platform has signed, now, and nothing else. */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { creemSignature, stripeSignature, tellEvent } from '@basemeter/simulators';
import { describe, expect, test } from 'vitest';
import { stateOf } from '../../scripts/commands/pay.ts';
import { env, sql } from '../support/stack.ts';

const MIB = 1024 * 1024;
const now = () => Math.floor(Date.now() / 1000);

/** A platform's webhook, and how it signs. */
interface Platform {
  name: 'creem' | 'stripe';
  /** The fields of an event of a type that nothing is done with. */
  event: object;
  sign(body: string, secret?: string): Record<string, string>;
}

const creem: Platform = {
  name: 'creem',
  event: { eventType: 'credits.granted', created_at: Date.now(), object: {} },
  sign: (body, secret = env.CREEM_WEBHOOK_SECRET) => ({ 'creem-signature': creemSignature(body, secret) }),
};
const stripe: Platform = {
  name: 'stripe',
  event: { object: 'event', type: 'charge.captured', created: now(), data: { object: {} } },
  sign: (body, secret) => signedAt(now(), body, secret),
};
const platforms = [creem, stripe];

function signedAt(time: number, body: string, secret = env.STRIPE_WEBHOOK_SECRET): Record<string, string> {
  return { 'stripe-signature': stripeSignature(body, secret, time) };
}

/** A body with an id of its own, by which a row of it would be found. */
function newBody(platform: Platform, extra: object = {}): { id: string; body: string } {
  const id = `evt_${randomUUID()}`;
  return { id, body: JSON.stringify({ id, ...platform.event, ...extra }) };
}

type Fixture = { payload: object; expected: { facts: object | null; problem: string | null; account?: string } };

function fixturesOf({ name }: Platform): [string, Fixture][] {
  const folder = new URL(`./fixtures/${name}/`, import.meta.url);
  return readdirSync(folder).map((file) => [
    file.replace(/\.json$/, ''),
    JSON.parse(readFileSync(new URL(file, folder), 'utf8')),
  ]);
}

/** A payload in which every id is a new one, or the fixtures would all be about the same customer. */
function asNew(payload: object): string {
  const suffix = randomUUID().slice(0, 8);
  return JSON.stringify(payload).replaceAll(/"([a-z]+(?:_[a-z]+)*_(?:\d{3}|mira))"/g, `"$1_${suffix}"`);
}

function deliver(platform: Platform, body: BodyOf, headers: Record<string, string>): Promise<Response> {
  return fetch(`${env.API_URL}/functions/v1/${platform.name}-webhook`, {
    method: 'POST',
    body,
    headers,
    duplex: 'half',
  });
}
type BodyOf = RequestInit['body'];

async function expectRefused(response: Response, id: string, status: number, code: string): Promise<void> {
  expect(response.status).toBe(status);
  expect(response.headers.get('x-request-id')).toMatch(/^req_/);
  const request_id = response.headers.get('x-request-id');
  expect(await response.json()).toMatchObject({ error: { code, message: expect.any(String), request_id } });
  expect(await rowsOf(id)).toEqual([]);
}

function rowsOf(id: string) {
  return sql(`select state, raw_body from public.payment_events where event_id = $1 or strpos(raw_body, $1) > 0`, [id]);
}

describe.each(platforms)('the webhook of $name', (platform) => {
  test('takes a signed event, and answers 200 with what became of it', async () => {
    const { id, body } = newBody(platform);
    const response = await deliver(platform, body, platform.sign(body));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ received: true, state: 'ignored' });
    expect(await rowsOf(id)).toEqual([{ state: 'ignored', raw_body: body }]);
    expect(await stateOf(env.DB_URL, { platform: platform.name, event_id: id })).toEqual([
      expect.stringMatching(/^payment_events \d+: ignored: nothing follows from it$/),
    ]);
  });

  test('and `npm run pay` says where a payer is who is nobody of ours', async () => {
    const event_id = `evt_${randomUUID()}`;
    const at = new Date().toISOString();
    const product = {
      id: 'prod_x',
      price_id: 'price_x',
      name: 'X',
      amount: 500,
      currency: 'EUR',
      billing_period: null,
    };
    const user = { id: randomUUID(), email: `${randomUUID()}@example.test`, created_at: at };
    const type = platform === creem ? 'checkout.completed' : 'checkout.session.completed';
    const telling = { platform: platform.name, type, user, product, trialDays: 0, event_id, at, is_unmatched: true };
    const body = JSON.stringify(tellEvent(telling));
    expect((await deliver(platform, body, platform.sign(body))).status).toBe(200);
    expect(await stateOf(env.DB_URL, telling)).toEqual([
      expect.stringMatching(/^payment_events \d+: applied$/),
      expect.stringMatching(/^unmatched_payment_emails [-0-9a-f]{36}: the payer is no account of ours$/),
    ]);
  });

  test('takes an event again without a second row', async () => {
    const { id, body } = newBody(platform);
    const deliveries = Array.from({ length: 5 }, () => deliver(platform, body, platform.sign(body)));
    for (const response of await Promise.all(deliveries)) expect(response.status).toBe(200);
    expect(await rowsOf(id)).toHaveLength(1);
  });

  test('keeps an event that it cannot read as failed', async () => {
    const type = platform === creem ? { eventType: 'refund.created' } : { type: 'charge.refunded' };
    const { id, body } = newBody(platform, type);
    const response = await deliver(platform, body, platform.sign(body));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ received: true, state: 'failed' });
    expect(await rowsOf(id)).toMatchObject([{ state: 'failed' }]);
  });

  test.each(fixturesOf(platform))('hands on %s, which the database can apply', async (_name, { payload, expected }) => {
    const body = asNew(payload);
    // What is of an account that no setting names is none of ours.
    const isOurs = expected.facts && !expected.account;
    const state = isOurs ? 'applied' : expected.problem ? 'failed' : 'ignored';
    const response = await deliver(platform, body, platform.sign(body));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ received: true, state });
    expect(await rowsOf(JSON.parse(body).id)).toMatchObject([{ state, raw_body: body }]);
  });

  const forgeries: [string, (body: string) => Record<string, string>][] = [
    ['without a signature', () => ({})],
    ['with an empty signature', (body) => mapped(platform.sign(body), () => '')],
    [
      'with a made-up signature',
      (body) => mapped(platform.sign(body), (value) => value.replace(/[0-9a-f]{64}/, 'f'.repeat(64))),
    ],
    ['signed with another secret', (body) => platform.sign(body, 'whsec_another')],
    ['signed with an empty secret', (body) => platform.sign(body, '')],
    ['with the signature of another body', () => platform.sign(newBody(platform).body)],
    ["with a keyholder's token in place of a signature", () => ({ authorization: `Bearer ${env.SERVICE_ROLE_KEY}` })],
  ];
  test.each(forgeries)('refuses a body %s: 401', async (_name, headersOf) => {
    const { id, body } = newBody(platform);
    await expectRefused(await deliver(platform, body, headersOf(body)), id, 401, 'invalid_signature');
  });

  test('refuses a body that was changed after it was signed: 401', async () => {
    const { id, body } = newBody(platform, { note: 'as signed' });
    for (const changed of [body.slice(0, -1), `${body} `, body.replace('as signed', 'AS SIGNED'), `\ufeff${body}`]) {
      await expectRefused(await deliver(platform, changed, platform.sign(body)), id, 401, 'invalid_signature');
    }
  });

  test('checks the signature before it reads the body', async () => {
    const { id } = newBody(platform);
    await expectRefused(await deliver(platform, `{"id":"${id}`, {}), id, 401, 'invalid_signature');
  });

  const unusable: [string, (id: string) => string][] = [
    ['no JSON', (id) => `{"id":"${id}"`],
    ['no object', (id) => `["${id}"]`],
    ['null', () => 'null'],
    ['an object that is no event', (id) => `{"name":"${id}"}`],
    [
      'nested deeper than 100 levels',
      (id) => `{"id":"${id}","type":"x","eventType":"x","deep":${'['.repeat(200)}${']'.repeat(200)}}`,
    ],
    [
      'nested half a million levels deep',
      (id) => `{"id":"${id}","type":"x","eventType":"x","deep":${'['.repeat(500_000)}${']'.repeat(500_000)}}`,
    ],
  ];
  test.each(unusable)('refuses a signed body that is %s: 400', async (_name, bodyOf) => {
    const { id } = newBody(platform);
    const body = bodyOf(id);
    await expectRefused(await deliver(platform, body, platform.sign(body)), id, 400, 'invalid_request');
  });

  test('refuses a body that is no UTF-8: 400', async () => {
    const { id, body } = newBody(platform);
    const bytes = Buffer.concat([Buffer.from(body), Buffer.from([0xff])]);
    await expectRefused(await deliver(platform, bytes, platform.sign(body)), id, 400, 'invalid_request');
  });

  test('refuses a body above 1 MiB, whether its length is told or not: 400', async () => {
    const { id, body } = newBody(platform, { filler: 'x'.repeat(MIB) });
    await expectRefused(await deliver(platform, body, platform.sign(body)), id, 400, 'invalid_request');
    const streamed = new Blob([body]).stream();
    await expectRefused(await deliver(platform, streamed, platform.sign(body)), id, 400, 'invalid_request');
  });

  test('takes a body of almost 1 MiB', async () => {
    const { id, body } = newBody(platform, { filler: 'x'.repeat(MIB - 1_000) });
    expect((await deliver(platform, body, platform.sign(body))).status).toBe(200);
    expect(await rowsOf(id)).toHaveLength(1);
  });

  test.each(['GET', 'PUT', 'DELETE'])('refuses %s: 405', async (method) => {
    const { id, body } = newBody(platform);
    const response = await fetch(`${env.API_URL}/functions/v1/${platform.name}-webhook`, {
      method,
      headers: platform.sign(body),
      body: method === 'PUT' ? body : undefined,
    });
    expect(response.headers.get('allow')).toBe('POST');
    await expectRefused(response, id, 405, 'invalid_request');
  });

  test('does not take what the other platform has signed', async () => {
    const other = platform === creem ? stripe : creem;
    const { id, body } = newBody(other);
    await expectRefused(await deliver(platform, body, other.sign(body)), id, 401, 'invalid_signature');
  });
});

describe('a signature of Stripe', () => {
  test.each([
    ['from six minutes ago', -360],
    ['from yesterday', -86_400],
    ['from in six minutes', 360],
    ['from tomorrow', 86_400],
  ])('%s is refused: 401', async (_name, seconds) => {
    const { id, body } = newBody(stripe);
    const headers = signedAt(now() + seconds, body);
    await expectRefused(await deliver(stripe, body, headers), id, 401, 'invalid_signature');
  });

  test('under another time than it was made for is refused: 401', async () => {
    const { id, body } = newBody(stripe);
    const headers = mapped(signedAt(now() - 3_600, body), (value) => value.replace(/t=\d+/, `t=${now()}`));
    await expectRefused(await deliver(stripe, body, headers), id, 401, 'invalid_signature');
  });

  test('over a thin event is of no use: 400', async () => {
    const { id, body } = newBody(stripe, { object: 'v2.core.event' });
    await expectRefused(await deliver(stripe, body, stripe.sign(body)), id, 400, 'invalid_request');
  });

  test('may be one of several, as while secrets are changed', async () => {
    const { id, body } = newBody(stripe);
    const headers = mapped(stripe.sign(body), (value) => value.replace(',', `,v1=${'0'.repeat(64)},`));
    expect((await deliver(stripe, body, headers)).status).toBe(200);
    expect(await rowsOf(id)).toHaveLength(1);
  });
});

function mapped(headers: Record<string, string>, change: (value: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, change(value)]));
}
