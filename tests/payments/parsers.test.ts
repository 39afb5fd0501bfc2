/** How the platforms' events are read, and how they are signed: no I/O but fixtures. */
import { readdirSync, readFileSync } from 'node:fs';
import { creemSignature, stripeSignature } from '@basemeter/simulators';
import { createCreem } from 'creem_io';
import fc from 'fast-check';
import Stripe from 'stripe';
import { describe, expect, test } from 'vitest';
import { readBody } from '../../supabase/functions/_shared/body.ts';
import { ApiError } from '../../supabase/functions/_shared/errors.ts';
import { parseJson } from '../../supabase/functions/_shared/json.ts';
import { readCreemEvent } from '../../supabase/functions/_shared/payments/creem.ts';
import { type PaymentEvent, type PaymentPlatform, rankOf } from '../../supabase/functions/_shared/payments/event.ts';
import { readStripeEvent } from '../../supabase/functions/_shared/payments/stripe.ts';
import { isSignedByCreem } from '../../supabase/functions/creem-webhook/signature.ts';
import { isSignedByStripe } from '../../supabase/functions/stripe-webhook/signature.ts';
import { runs } from '../support/runs.ts';

type Payload = { id: string; type?: string; eventType?: string };
type Fixture = {
  payload: Payload;
  expected: Pick<PaymentEvent, 'occurred_at' | 'facts' | 'problem'> & Partial<PaymentEvent>;
};

const FOLDER = new URL('./fixtures/', import.meta.url);
const READERS = { creem: readCreemEvent, stripe: readStripeEvent };
const PLATFORMS = ['creem', 'stripe'] as const;
const encoder = new TextEncoder();

function fixtureNames(platform: PaymentPlatform): string[] {
  return readdirSync(new URL(`${platform}/`, FOLDER)).map((file) => file.replace(/\.json$/, ''));
}

function fixture(platform: PaymentPlatform, name: string): Fixture {
  return JSON.parse(readFileSync(new URL(`${platform}/${name}.json`, FOLDER), 'utf8'));
}

describe.each(PLATFORMS)('an event of %s', (platform) => {
  const names = fixtureNames(platform);

  test.each(names)('%s', (name) => {
    const { payload, expected } = fixture(platform, name);
    const type = payload.eventType ?? payload.type;
    expect(name === type || name.startsWith(`${type}.`)).toBe(true);
    expect(READERS[platform](payload)).toStrictEqual({
      platform,
      event_id: payload.id,
      event_type: type,
      mode: 'test',
      account: null,
      ...expected,
    });
  });

  test('without an id or a type is none', () => {
    const { payload } = fixture(platform, names[0] ?? '');
    for (const none of [null, 7, 'x', [], {}, { ...payload, id: '' }, { id: 'evt_1' }, { ...payload, id: 5 }]) {
      expect(() => READERS[platform](none)).toThrow(expect.objectContaining({ status: 400, code: 'invalid_request' }));
    }
  });

  test('of any content is read or refused, into what Postgres can hold', () => {
    fc.assert(fc.property(fc.jsonValue(), (payload) => expectReadable(platform, payload)));
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.infiniteStream(replacement()), (name, replacements) => {
        expectReadable(platform, mutated(fixture(platform, name).payload, replacements));
      }),
      { numRuns: runs(500) },
    );
  });
});

/** For one member in ten, a value that it should not have. */
function replacement(): fc.Arbitrary<{ value: unknown } | undefined> {
  const texts = fc.constantFrom('', '\u0000', 'a\u0000b', '\ud800', `${'x'.repeat(499)}🙂`, 'constructor', '__proto__');
  const numbers = fc.constantFrom(0, -0, -1, 0.5, 1e300, -1e300, Number.MAX_SAFE_INTEGER, 2_147_483_648, 8.64e15, 1e13);
  const value = fc.oneof(texts, numbers, fc.string({ unit: 'binary' }), fc.jsonValue(), fc.constant([[]]));
  return fc.oneof(
    { weight: 9, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: value.map((each) => ({ value: each })) },
  );
}

/** A value of which some members, at any depth, are replaced. The event's type stays, or nothing would be read. */
function mutated(value: unknown, replacements: fc.Stream<{ value: unknown } | undefined>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, member]) => {
    const replaced = ['type', 'eventType'].includes(key) ? undefined : replacements.next().value;
    return [key, replaced ? replaced.value : mutated(member, replacements)];
  });
  return Array.isArray(value) ? entries.map(([, member]) => member) : Object.fromEntries(entries);
}

function expectReadable(platform: PaymentPlatform, payload: unknown): void {
  let event: PaymentEvent;
  try {
    event = READERS[platform](payload);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(ApiError);
    return;
  }
  expect(event.facts === null || event.problem === null).toBe(true);
  expect(JSON.parse(JSON.stringify(event))).toStrictEqual(event);
  expect(leavesOf(event.facts ?? {})).not.toContain(null);
  for (const value of leavesOf(event)) {
    if (typeof value === 'number') expect(Number.isSafeInteger(value)).toBe(true);
    if (typeof value !== 'string') continue;
    expect(value.length <= 500 && value.isWellFormed() && !value.includes('\u0000')).toBe(true);
  }
}

function leavesOf(value: unknown): unknown[] {
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(leavesOf) : [value];
}

test('states of the same second are ordered', () => {
  expect(rankOf('created')).toBeLessThan(rankOf('activated', 'trialing'));
  expect(rankOf('activated', 'active')).toBeLessThan(rankOf('paid', 'active'));
  expect(rankOf('paid', 'active')).toBeLessThan(rankOf('updated', 'scheduled_cancel'));
  expect(rankOf('updated', 'expired')).toBeLessThan(rankOf('updated', 'canceled'));
  expect(rankOf('created', 'open')).toBeLessThan(rankOf('updated', 'won'));
});

describe('signatures', () => {
  const now = () => Math.floor(Date.now() / 1000);
  const secret = 'whsec_made_up_for_this_test';
  const creemBody =
    '{"id":"evt_test_0001","eventType":"subscription.paid","created_at":1767225600000,"object":{"id":"sub_test_0001","object":"subscription"}}';
  const stripeBody = '{"id":"evt_test_0002","object":"event","type":"invoice.paid"}';

  test('are those that the platforms make', () => {
    expect(creemSignature(creemBody, 'whsec_test_creem_secret')).toBe(
      'cd9e5eab6d9e9c1a0f9f3402acf8b882ce0b00e40e9e9ebc864f2e395dad96c4',
    );
    expect(stripeSignature(stripeBody, 'whsec_test_stripe_secret', 1_767_225_600)).toBe(
      't=1767225600,v1=468a14108d8d67baeb19e2324879dc2918e07e7c1960932be8e699e1c6f3cf4a',
    );
  });

  test("are accepted by the platforms' own libraries", async () => {
    const { payload } = fixture('creem', 'subscription.paid');
    const body = JSON.stringify(payload);
    const paid: string[] = [];
    const { webhooks } = createCreem({ apiKey: 'creem_test_none', webhookSecret: secret });
    await webhooks.handleEvents(body, creemSignature(body, secret), {
      onSubscriptionPaid: (data) => void paid.push(data.id),
    });
    expect(paid).toHaveLength(1);
    const event = await Stripe.webhooks.constructEventAsync(
      stripeBody,
      stripeSignature(stripeBody, secret, now()),
      secret,
    );
    expect(event.id).toBe('evt_test_0002');
  });

  test('of Creem are told from others', async () => {
    const signature = creemSignature(creemBody, secret);
    const accepts = (header: string | null, body = creemBody, secrets = [secret]) =>
      isSignedByCreem(header, encoder.encode(body), secrets);
    expect(await accepts(signature)).toBe(true);
    expect(await accepts(signature.toUpperCase())).toBe(true);
    expect(await accepts(signature, creemBody, ['the one after it', secret])).toBe(true);
    for (const header of [null, '', 'x', signature.slice(2), `${signature}00`, '0'.repeat(64), `${signature} `]) {
      expect(await accepts(header)).toBe(false);
    }
    expect(await accepts(signature, `${creemBody} `)).toBe(false);
    expect(await accepts(signature, creemBody, ['another'])).toBe(false);
  });

  test('of Stripe are told from others, and from those of another time', async () => {
    const header = stripeSignature(stripeBody, secret, now());
    expect(await isSignedByStripe(header, stripeBody, [secret])).toBe(true);
    expect(await isSignedByStripe(header, stripeBody, ['the one after it', secret])).toBe(true);
    expect(await isSignedByStripe(stripeSignature(stripeBody, secret, now() + 200), stripeBody, [secret])).toBe(true);
    for (const time of [now() - 400, now() + 400, 1e15]) {
      expect(await isSignedByStripe(stripeSignature(stripeBody, secret, time), stripeBody, [secret])).toBe(false);
    }
    for (const none of [null, '', 'x', `t=${now()}`, header.replace('v1=', 'v0='), header.replace(/t=\d+/, 't=x')]) {
      expect(await isSignedByStripe(none, stripeBody, [secret])).toBe(false);
    }
    expect(await isSignedByStripe(header, `${stripeBody} `, [secret])).toBe(false);
    expect(await isSignedByStripe(header, '', [secret])).toBe(false);
    expect(await isSignedByStripe(header, stripeBody, ['another'])).toBe(false);
  });

  test('of a body that Stripe has signed and we do not take: 400', async () => {
    for (const body of ['{"id":"evt_1","object":"v2.core.event","type":"v1.billing.meter.no_meter_found"}', 'x']) {
      await expect(isSignedByStripe(stripeSignature(body, secret, now()), body, [secret])).rejects.toMatchObject({
        status: 400,
        code: 'invalid_request',
      });
    }
  });
});

describe('a body', () => {
  const request = (body: RequestInit['body'], headers = {}) =>
    new Request('http://localhost/', { method: 'POST', body, headers, duplex: 'half' });

  test('is read with every byte it has', async () => {
    const text = '\ufeff{"ü":"🙂"}\n';
    expect(await readBody(request(text), 1)).toEqual({ bytes: encoder.encode(text), text });
    expect(await readBody(request(null), 1)).toEqual({ bytes: new Uint8Array(), text: '' });
  });

  test('of 1 MiB is read, a larger one is not, whatever it says of itself', async () => {
    const limit = 1024 * 1024;
    expect((await readBody(request('x'.repeat(limit)), 1)).text).toHaveLength(limit);
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
    for (const body of ['x'.repeat(limit + 1), endless]) {
      await expect(readBody(request(body), 1)).rejects.toMatchObject({ status: 400, code: 'invalid_request' });
    }
  });

  test('that is no UTF-8, or breaks off, is refused', async () => {
    const broken = new ReadableStream({ start: (controller) => controller.error(new Error('gone')) });
    for (const body of [new Uint8Array([0x7b, 0xff, 0x7d]), broken]) {
      await expect(readBody(request(body), 1)).rejects.toMatchObject({ status: 400, code: 'invalid_request' });
    }
  });

  test('has to be JSON of a sane depth', () => {
    expect(parseJson('[{"a":1}]')).toEqual([{ a: 1 }]);
    for (const text of ['', '{', '\ufeff{}', `${'['.repeat(102)}${']'.repeat(102)}`]) {
      expect(() => parseJson(text)).toThrow(expect.objectContaining({ status: 400, code: 'invalid_request' }));
    }
  });
});
