/** Stripe's signatures, checked by its own library. */
import Stripe from 'stripe';
import { invalidRequest } from '../_shared/errors.ts';

/** How far ahead of ours Stripe's clock may be, seconds: as much as the library lets a signature be old. */
const MOST_AHEAD = 300;

/**
 * Whether one of the secrets has made the signature in header `stripe-signature`, at most five minutes ago.
 * Throws 400 `invalid_request` for a signed body that is no event the library knows: thin (v2) events, or no JSON.
 */
export async function isSignedByStripe(header: string | null, body: string, secrets: string[]): Promise<boolean> {
  // The library looks at a signature's age alone, and one made for later could be used again until then.
  if (!header || !isDue(header)) return false;
  for (const secret of secrets) {
    if (await isSignedWith(secret, header, body)) return true;
  }
  return false;
}

async function isSignedWith(secret: string, header: string, body: string): Promise<boolean> {
  try {
    await Stripe.webhooks.constructEventAsync(body, header, secret);
    return true;
  } catch (thrown) {
    if (thrown instanceof Stripe.errors.StripeSignatureVerificationError) return false;
    throw invalidRequest('The body is no event that this webhook takes: thin events are not.');
  }
}

/** Whether a signature's time is not in the future. Of several times the last counts, as the library has it. */
function isDue(header: string): boolean {
  const times = header.split(',').filter((part) => part.startsWith('t='));
  const time = Number.parseInt(times.at(-1)?.slice(2) ?? '', 10);
  return time <= Date.now() / 1000 + MOST_AHEAD;
}
