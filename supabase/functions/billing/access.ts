/** Who may call what: people their own affairs, the project's own timer the tasks. */
import { verifyCredentials } from '@supabase/server/core';
import { requireCaller } from '../_shared/auth.ts';
import { ApiError } from '../_shared/errors.ts';
import { sha256 } from '../_shared/hash.ts';

/** Returns the id of the signed-in person. Throws 401 `not_authenticated`, and 403 `forbidden` for an API key. */
export async function requirePerson(request: Request): Promise<string> {
  const { user_id } = await requireCaller(request);
  if (!user_id) throw new ApiError(403, 'forbidden', 'API keys cannot pay or change plans. Sign in instead.');
  return user_id;
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
