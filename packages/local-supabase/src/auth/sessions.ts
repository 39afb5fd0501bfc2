/** Rows of auth.sessions, auth.refresh_tokens and auth.mfa_amr_claims: how a sign-in lasts, rotates and ends. */
import { randomBytes, randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import type { Database } from '../transaction.ts';
import { AuthError } from './errors.ts';
import { touchSignIn } from './users.ts';

/** Seconds in which a refresh token that was used already gives a new one instead of ending the session. */
const REUSE_GRACE_SECONDS = 10;

/** How a session began: by password or anonymously. */
export type SignInMethod = 'password' | 'anonymous';

/** A sign-in on one device. */
export interface Session {
  id: string;
  userId: string;
  aal: string;
  method: SignInMethod;
  createdAt: Date;
}

interface RefreshToken {
  token: string;
  parent: string | null;
  revoked: boolean;
  /** Whether the row was changed within the grace. */
  fresh: boolean;
}

/** What auth.sessions keeps about the caller. */
export interface Caller {
  userAgent: string | null;
  ip: string | null;
}

/** Reads who calls from a request's headers. */
export function callerOf(request: Request): Caller {
  const forwarded = request.headers.get('x-forwarded-for')?.split(',')[0]?.trim() ?? '';
  // An address with a zone (fe80::1%eth0) is valid for Node and not for Postgres.
  const isAddress = isIP(forwarded) !== 0 && !forwarded.includes('%');
  return { userAgent: request.headers.get('user-agent'), ip: isAddress ? forwarded : null };
}

/** Begins a session and records the sign-in. Gives the session and its first refresh token. */
export async function startSession(
  db: Database,
  userId: string,
  method: SignInMethod,
  caller: Caller,
): Promise<{ session: Session; refreshToken: string }> {
  const id = randomUUID();
  await db.query(
    `insert into auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)
     values ($1, $2, now(), now(), 'aal1', $3, $4)`,
    [id, userId, caller.userAgent, caller.ip],
  );
  await db.query(
    `insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
     values (gen_random_uuid(), $1, now(), now(), $2)`,
    [id, method],
  );
  const refreshToken = await issueRefreshToken(db, userId, id, null);
  await touchSignIn(db, userId);
  return { session: { id, userId, aal: 'aal1', method, createdAt: new Date() }, refreshToken };
}

/** The session with that id, or null when it ended. */
export async function findSession(db: Database, id: string): Promise<Session | null> {
  const { rows } = await db.query<Session>(
    `select s.id, s.user_id as "userId", s.aal, s.created_at as "createdAt",
       coalesce((select a.authentication_method from auth.mfa_amr_claims as a
                 where a.session_id = s.id order by a.created_at limit 1), 'password') as method
     from auth.sessions as s where s.id = $1`,
    [id],
  );
  return rows[0] ?? null;
}

/**
 * The session that a refresh token belongs to, locked: two refreshes of one session wait for each other.
 * Throws 400 `refresh_token_not_found`.
 */
export async function lockSessionOfToken(db: Database, token: string): Promise<Session> {
  const { rows } = await db.query<{ id: string }>(
    `select id from auth.sessions where id = (select session_id from auth.refresh_tokens where token = $1) for update`,
    [token],
  );
  const session = rows[0] === undefined ? null : await findSession(db, rows[0].id);
  if (session !== null) return session;
  throw new AuthError(400, 'refresh_token_not_found', 'Invalid Refresh Token: Refresh Token Not Found');
}

/**
 * Swaps a refresh token for the next one, or gives null when it was used before and may not be used again: then every
 * token of the session is revoked, and the caller must commit that. As in Supabase Auth, a used token still works
 * within the grace, and at any time while its successor is the session's live token (the client lost the answer).
 */
export async function rotateRefreshToken(
  db: Database,
  session: Session,
  token: string,
  caller: Caller,
): Promise<string | null> {
  const next = await nextRefreshToken(db, session, token);
  if (next === null) {
    await db.query(
      'update auth.refresh_tokens set revoked = true, updated_at = now() where session_id = $1 and not revoked',
      [session.id],
    );
    return null;
  }
  await db.query(
    `update auth.sessions set refreshed_at = now() at time zone 'utc', user_agent = $2, ip = $3, updated_at = now()
     where id = $1`,
    [session.id, caller.userAgent, caller.ip],
  );
  return next;
}

async function nextRefreshToken(db: Database, session: Session, token: string): Promise<string | null> {
  const used = await findToken(db, 'token = $1', [token]);
  if (used?.revoked) {
    const live = await findToken(db, 'session_id = $1 and not revoked', [session.id]);
    if (live?.parent === token) return live.token;
    if (!used.fresh) return null;
  }
  await db.query('update auth.refresh_tokens set revoked = true, updated_at = now() where token = $1', [token]);
  return issueRefreshToken(db, session.userId, session.id, token);
}

async function findToken(db: Database, condition: string, parameters: string[]): Promise<RefreshToken | null> {
  const { rows } = await db.query<RefreshToken>(
    `select token, parent, revoked, updated_at > now() - make_interval(secs => ${REUSE_GRACE_SECONDS}) as fresh
     from auth.refresh_tokens where ${condition} order by id desc limit 1`,
    parameters,
  );
  return rows[0] ?? null;
}

async function issueRefreshToken(
  db: Database,
  userId: string,
  sessionId: string,
  parent: string | null,
): Promise<string> {
  const token = randomBytes(9).toString('base64url');
  await db.query(
    `insert into auth.refresh_tokens (token, user_id, revoked, created_at, updated_at, parent, session_id)
     values ($1, $2, false, now(), now(), $3, $4)`,
    [token, userId, parent, sessionId],
  );
  return token;
}

/** Which sessions a sign-out ends: all of the user's, the calling one, or all but the calling one. */
export type SignOutScope = 'global' | 'local' | 'others';

/** Ends sessions; their refresh tokens go with them. Access tokens that are out stay valid until they expire. */
export async function endSessions(
  db: Database,
  userId: string,
  sessionId: string | null,
  scope: SignOutScope,
): Promise<void> {
  await db.query(
    `delete from auth.sessions where user_id = $1
       and ($3 = 'global' or ($3 = 'local' and id = $2) or ($3 = 'others' and id is distinct from $2))`,
    [userId, sessionId, scope],
  );
}
