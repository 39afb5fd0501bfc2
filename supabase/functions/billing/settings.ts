/** The platforms' keys and addresses, read from the functions' environment when they are first needed. */
import { ApiError } from '../_shared/errors.ts';
import { type CreemSettings, createCreem } from './creem.ts';
import type { Gateway, Platform } from './gateway.ts';
import { createStripe, type StripeSettings } from './stripe.ts';

type Env = { get(name: string): string | undefined };

const CREEM_API = 'https://api.creem.io';
const CREEM_TEST_API = 'https://test-api.creem.io';

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
  return platform === 'creem' ? createCreem(readCreemSettings(env)) : createStripe(readStripeSettings(env));
}

/** `CREEM_API_KEY` and `CREEM_API_URL`; without the latter a test key goes to Creem's test API. */
export function readCreemSettings(env: Env): CreemSettings {
  const apiKey = readKey(env, 'CREEM_API_KEY');
  const usual = apiKey.startsWith('creem_test_') ? CREEM_TEST_API : CREEM_API;
  return { apiKey, baseUrl: (env.get('CREEM_API_URL')?.trim() || usual).replace(/\/+$/, '') };
}

/** `STRIPE_SECRET_KEY` and `STRIPE_API_URL`. */
export function readStripeSettings(env: Env): StripeSettings {
  return { secretKey: readKey(env, 'STRIPE_SECRET_KEY'), apiUrl: env.get('STRIPE_API_URL')?.trim() || undefined };
}

function readKey(env: Env, name: string): string {
  const key = env.get(name)?.trim();
  if (key) return key;
  console.error(`${name} is not set`);
  throw new ApiError(503, 'unavailable', 'This payment provider is not set up here.');
}
