/** Who calls: a signed-in user, by an access token; the holder of an API key; or the project itself. */
import { verifyCredentials } from '@supabase/server/core';
import { ApiError } from './errors.ts';
import { sha256 } from './hash.ts';

/**
 * A caller as the AI rpcs take it: one of the first two is null, which the rpcs' generated types do not know of.
 * `api_key_hash` is the key's SHA-256 in hex; `workspace_id` a team to call for, where that is not the personal workspace.
 */
export type Caller = { user_id: string; api_key_hash: string; workspace_id?: string };

const NONE = null as unknown as string;

/** How our API keys begin. A JWT never does. */
const API_KEY_PREFIX = 'sk-';

/**
 * Returns who is behind `Authorization: Bearer …`. Whether an API key is a living one only SQL can tell.
 * Throws 401 `not_authenticated` without a token of a signed-in user: the project's own keys are valid JWTs as well, but
 * nobody is behind them.
 */
export async function requireCaller(request: Request): Promise<Caller> {
  const token = request.headers.get('authorization')?.match(/^Bearer +(\S+)$/i)?.[1] ?? null;
  if (!token) {
    throw notAuthenticated('Send an access token or an API key as `Authorization: Bearer <token>`.');
  }
  if (token.startsWith(API_KEY_PREFIX)) return { user_id: NONE, api_key_hash: await sha256(token) };
  const { data, error } = await verifyCredentials({ token, apikey: null }, { auth: 'user' });
  if (error && error.status >= 500) throw error;
  if (error || data.userClaims?.role !== 'authenticated') {
    throw notAuthenticated('This is no valid access token of a signed-in user, or it has expired. Sign in again.');
  }
  return { user_id: data.userClaims.id, api_key_hash: NONE };
}

function notAuthenticated(message: string): ApiError {
  return new ApiError(401, 'not_authenticated', message);
}

/**
 * Lets the project itself pass: a secret key as `apikey`, or the service role's legacy key as `apikey` or bearer token.
 * Throws 403 `forbidden` for everyone else.
 */
export async function requireServiceRole(request: Request): Promise<void> {
  const apikey = request.headers.get('apikey');
  const token = request.headers.get('authorization')?.match(/^Bearer +(\S+)$/i)?.[1] ?? null;
  const legacyKey = Deno.env.get('SUPABASE_SERVICE_ROLE_KEY');
  if (legacyKey && ((await isSame(token, legacyKey)) || (await isSame(apikey, legacyKey)))) return;
  const { error } = await verifyCredentials({ token: null, apikey }, { auth: 'secret:*' });
  if (error) throw new ApiError(403, 'forbidden', 'Only the project itself may call this, with its secret key.');
}

/** Compares by hashes, so that the time taken tells nothing of the key. */
async function isSame(given: string | null, key: string): Promise<boolean> {
  return given !== null && (await sha256(given)) === (await sha256(key));
}
