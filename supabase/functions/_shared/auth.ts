/** Who calls: the signed-in user behind an access token. */
import { verifyCredentials } from '@supabase/server/core';
import { ApiError } from './errors.ts';

/**
 * Returns the id of the user whose access token is in `Authorization: Bearer …`.
 * Throws 401 `not_authenticated` without a token of a signed-in user: API keys of the project are valid JWTs as well,
 * but nobody is behind them.
 */
export async function requireUser(request: Request): Promise<string> {
  const token = request.headers.get('authorization')?.match(/^Bearer +(\S+)$/i)?.[1] ?? null;
  if (!token) throw notAuthenticated('Send the access token of a signed-in user as `Authorization: Bearer <token>`.');
  const { data, error } = await verifyCredentials({ token, apikey: null }, { auth: 'user' });
  if (error && error.status >= 500) throw error;
  if (error || data.userClaims?.role !== 'authenticated') {
    throw notAuthenticated('The access token is not valid or has expired. Sign in again.');
  }
  return data.userClaims.id;
}

function notAuthenticated(message: string): ApiError {
  return new ApiError(401, 'not_authenticated', message);
}
