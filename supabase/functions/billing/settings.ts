/** The platforms' keys and addresses, read from the functions' environment when they are first needed. */
import { type Env, readCreemAccess, readPlatformKey } from '../_shared/platform-keys.ts';
import { createCreem } from './creem.ts';
import type { Gateway, Platform } from './gateway.ts';
import { createStripe, type StripeSettings } from './stripe.ts';

/**
 * Gives the gateway to a platform, made at its first use. It throws 503 `unavailable` while the platform's key is not
 * set; which variable that is stands in the log alone.
 */
export function createGateways(env: Env): (platform: Platform) => Gateway {
  const made = new Map<Platform, Gateway>();
  return (platform) => {
    const gateway = made.get(platform) ?? createGateway(platform, env);
    made.set(platform, gateway);
    return gateway;
  };
}

function createGateway(platform: Platform, env: Env): Gateway {
  return platform === 'creem' ? createCreem(readCreemAccess(env)) : createStripe(readStripeSettings(env));
}

/** `STRIPE_SECRET_KEY` and `STRIPE_API_URL`. */
export function readStripeSettings(env: Env): StripeSettings {
  return {
    secretKey: readPlatformKey(env, 'STRIPE_SECRET_KEY'),
    apiUrl: env.get('STRIPE_API_URL')?.trim() || undefined,
  };
}
