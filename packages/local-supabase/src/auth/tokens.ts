/** Access tokens: ES256 for users, as hosted projects issue them; the two legacy API keys are HS256. */
import { importJWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { StackKeys } from '../keys.ts';
import { AuthError } from './errors.ts';
import type { Session } from './sessions.ts';
import type { UserRow } from './users.ts';

/** Seconds an access token lives. */
export const ACCESS_TOKEN_SECONDS = 3600;

/** Signs and checks tokens with one project's keys. */
export interface Tokens {
  /** An access token of that user in that session, and the epoch second at which it ends. */
  sign(user: UserRow, session: Session): Promise<{ token: string; expiresAt: number }>;
  /** The claims of the request's bearer token. Throws 401 `no_authorization` without one, 403 `bad_jwt` for a bad one. */
  verify(request: Request): Promise<JWTPayload>;
}

/** `issuer` is `<API_URL>/auth/v1` and becomes the `iss` claim. */
export function createTokens(keys: StackKeys, issuer: string): Tokens {
  const privateKey = importJWK(keys.signingKey, 'ES256');
  const publicKeys = new Map(keys.jwks.keys.map((key) => [key.kid, importJWK(key, 'ES256')]));
  const secret = new TextEncoder().encode(keys.jwtSecret);

  async function keyFor(header: { alg?: string; kid?: string }) {
    if (header.alg === 'HS256') return secret;
    const key = await publicKeys.get(header.kid ?? '');
    if (key === undefined) throw new Error('unknown key id');
    return key;
  }

  return {
    async sign(user, session) {
      const issuedAt = Math.floor(Date.now() / 1000);
      const expiresAt = issuedAt + ACCESS_TOKEN_SECONDS;
      const token = await new SignJWT(accessTokenClaims(user, session))
        .setProtectedHeader({ alg: 'ES256', kid: keys.signingKey.kid, typ: 'JWT' })
        .setIssuer(issuer)
        .setSubject(user.id)
        .setAudience(user.aud)
        .setIssuedAt(issuedAt)
        .setExpirationTime(expiresAt)
        .sign(await privateKey);
      return { token, expiresAt };
    },

    async verify(request) {
      const token = /^bearer (\S+)$/i.exec(request.headers.get('authorization') ?? '')?.[1];
      if (token === undefined) {
        throw new AuthError(401, 'no_authorization', 'This endpoint requires a valid Bearer token');
      }
      try {
        return (await jwtVerify(token, keyFor, { algorithms: ['ES256', 'HS256'] })).payload;
      } catch (error) {
        const reason = error instanceof Error ? error.message : 'unreadable';
        throw new AuthError(403, 'bad_jwt', `invalid JWT: unable to parse or verify signature, ${reason}`);
      }
    },
  };
}

/** The claims of Supabase Auth's access tokens beside the registered ones. */
function accessTokenClaims(user: UserRow, session: Session): JWTPayload {
  return {
    email: user.email ?? '',
    phone: user.phone ?? '',
    app_metadata: user.raw_app_meta_data ?? {},
    user_metadata: user.raw_user_meta_data ?? {},
    role: user.role,
    aal: session.aal,
    amr: [{ method: session.method, timestamp: Math.floor(session.createdAt.getTime() / 1000) }],
    session_id: session.id,
    is_anonymous: user.is_anonymous,
  };
}
