/** The payment platforms' keys and addresses, read from the functions' environment. */
import { ApiError } from './errors.ts';

/** The environment, or what stands for it. */
export type Env = { get(name: string): string | undefined };

/** Where and as whom Creem is called. */
export interface CreemAccess {
  apiKey: string;
  /** Without a trailing slash. */
  baseUrl: string;
}

const CREEM_API = 'https://api.creem.io';
const CREEM_TEST_API = 'https://test-api.creem.io';

/** `CREEM_API_KEY` and `CREEM_API_URL`; without the latter a test key goes to Creem's test API. */
export function readCreemAccess(env: Env): CreemAccess {
  const apiKey = readPlatformKey(env, 'CREEM_API_KEY');
  const usual = apiKey.startsWith('creem_test_') ? CREEM_TEST_API : CREEM_API;
  return { apiKey, baseUrl: (env.get('CREEM_API_URL')?.trim() || usual).replace(/\/+$/, '') };
}

/** A platform's key. Throws 503 `unavailable` where it is not set; which variable that is stands in the log alone. */
export function readPlatformKey(env: Env, name: string): string {
  const key = env.get(name)?.trim();
  if (key) return key;
  console.error(`${name} is not set`);
  throw new ApiError(503, 'unavailable', 'This payment provider is not set up here.');
}
