/** Signs events as the platforms do and posts them to the webhook functions. */
import { createHmac } from 'node:crypto';
import type { Platform } from './story.ts';

/** Where the webhooks are and what their events are signed with. */
export interface Webhooks {
  /** E.g. `http://127.0.0.1:54321/functions/v1`. */
  functionsUrl: string;
  secrets: Record<Platform, string>;
}

/** What a webhook said. */
export interface Delivery {
  status: number;
  body: string;
}

/** The `creem-signature` of a raw body: HMAC-SHA256 in hex. Source: docs.creem.io, verify webhook requests. */
export function creemSignature(body: string, secret: string): string {
  return createHmac('sha256', secret).update(body).digest('hex');
}

/** The `stripe-signature` of a raw body, made at `at` (seconds). Source: docs.stripe.com/webhooks, manual verification. */
export function stripeSignature(body: string, secret: string, at: number): string {
  return `t=${at},v1=${createHmac('sha256', secret).update(`${at}.${body}`).digest('hex')}`;
}

/** The headers of a webhook's request; `at` is the time of signing in seconds, now unless given. */
export function signatureHeaders(
  platform: Platform,
  body: string,
  secret: string,
  at = Math.floor(Date.now() / 1000),
): Record<string, string> {
  return platform === 'creem'
    ? { 'creem-signature': creemSignature(body, secret) }
    : { 'stripe-signature': stripeSignature(body, secret, at) };
}

/** Delivers an event once. Throws what `fetch` throws when nobody answers. */
export async function deliver(platform: Platform, event: object, webhooks: Webhooks): Promise<Delivery> {
  const body = JSON.stringify(event);
  const response = await fetch(`${webhooks.functionsUrl}/${platform}-webhook`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...signatureHeaders(platform, body, webhooks.secrets[platform]) },
    body,
    signal: AbortSignal.timeout(30_000),
  });
  return { status: response.status, body: await response.text() };
}
