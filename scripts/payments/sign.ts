/** Signatures as Creem and Stripe make them, for tests and the simulators. */
import { createHmac } from 'node:crypto';

/** The value of header `creem-signature`: HMAC-SHA256 over the body, in hex. Source: docs.creem.io, webhooks. */
export function signCreem(body: string, secret: string): string {
  return createHmac('sha256', secret).update(body).digest('hex');
}

/**
 * The value of header `stripe-signature`: the time, and HMAC-SHA256 over it and the body, in hex.
 * Source: docs.stripe.com, "Verify webhook signatures manually".
 */
export function signStripe(body: string, secret: string, timestampSeconds: number): string {
  const signature = createHmac('sha256', secret).update(`${timestampSeconds}.${body}`).digest('hex');
  return `t=${timestampSeconds},v1=${signature}`;
}
