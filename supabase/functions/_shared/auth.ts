/** Who calls: a signed-in user, by an access token; the holder of an API key; or the project itself. */
import { verifyCredentials } from '@supabase/server/core';
import { database, run } from './database.ts';
import { ApiError } from './errors.ts';
import { sha256 } from './hash.ts';
import { ofSession } from './origin.ts';

/**
 * A caller as the AI rpcs take it: one of the first two is null, which the rpcs' generated types do not know of.
 * `api_key_hash` is the key's SHA-256 in hex; `workspace_id` a team to call for, where that is not the personal workspace.
 */
export type Caller = { user_id: string; api_key_hash: string; workspace_id?: string };

const NONE = null as unknown as string;

/** How our API keys begin. A JWT never does. */
const API_KEY_PREFIX = 'sk-';
/** The project's own keys, which are for supabase-js. */
const PROJECT_KEY = /^sb_(publishable|secret)_/;

/** A key that was valid is not looked up again for so long, ms: what it may do, each rpc looks at for itself. */
const KEY_IS_KNOWN_FOR = 60_000;
/** Of so many keys and tokens at most. */
const MOST_KNOWN = 1_000;
/** Who was behind keys and tokens, by their hashes, and until when that is known; the oldest first. */
const known = new Map<string, Known>();

/** `session` is a token's session in Auth. */
type Known = { caller: Caller; until: number; session?: string };

/**
 * Returns who is behind `x-api-key` or `Authorization: Bearer …`, before anything else of the request is looked at.
 * Throws 401 `invalid_api_key` for a key that is not a living one, and 401 `not_authenticated` without a token of a
 * signed-in user: the project's own keys are valid JWTs as well, but nobody is behind them.
 */
export async function requireCaller(request: Request): Promise<Caller> {
  const bearer = request.headers.get('authorization')?.match(/^Bearer +(\S+)$/i)?.[1];
  const token = request.headers.get('x-api-key')?.trim() || bearer;
  if (!token) {
    throw notAuthenticated('Send an access token or an API key as `Authorization: Bearer <token>`.');
  }
  const hash = sha256(token);
  const before = known.get(hash);
  if (before && before.until > Date.now()) return callerOf(before);
  known.delete(hash);
  const found: Known = token.startsWith(API_KEY_PREFIX) ? await holderOfKey(hash) : await signedInUser(token);
  const [oldest] = known.keys();
  if (oldest !== undefined && known.size >= MOST_KNOWN) known.delete(oldest);
  known.set(hash, found);
  return callerOf(found);
}

function callerOf({ caller, session }: Known): Caller {
  if (session) ofSession(session);
  return { ...caller };
}

async function holderOfKey(api_key_hash: string) {
  await run(() => database.rpc('require_api_key', { api_key_hash }));
  return { caller: { user_id: NONE, api_key_hash }, until: Date.now() + KEY_IS_KNOWN_FOR };
}

/** A token is valid until it expires; that its account is not disabled nor its session ended, each rpc looks at for itself. */
async function signedInUser(token: string) {
  if (PROJECT_KEY.test(token)) {
    throw notAuthenticated(
      "The project's own keys (sb_publishable_…, sb_secret_…) call nothing here. Send a user's access token or an API key (sk-…).",
    );
  }
  const { data, error } = await verifyCredentials({ token, apikey: null }, { auth: 'user' });
  if (error && error.status >= 500) throw error;
  if (error || data.userClaims?.role !== 'authenticated') {
    throw notAuthenticated('This is no valid access token of a signed-in user, or it has expired. Sign in again.');
  }
  const { exp = 0, session_id }: { exp?: number; session_id?: unknown } = data.jwtClaims ?? {};
  return {
    caller: { user_id: data.userClaims.id, api_key_hash: NONE },
    until: exp * 1000,
    session: typeof session_id === 'string' ? session_id : undefined,
  };
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
  if (legacyKey && (isSame(token, legacyKey) || isSame(apikey, legacyKey))) return;
  const { error } = await verifyCredentials({ token: null, apikey }, { auth: 'secret:*' });
  if (error) throw new ApiError(403, 'forbidden', 'Only the project itself may call this, with its secret key.');
}

/** Compares by hashes, so that the time taken tells nothing of the key. */
function isSame(given: string | null, key: string): boolean {
  return given !== null && sha256(given) === sha256(key);
}
