/** What a user does with their own account: sign up, sign in, refresh, read, change, sign out. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { type Database, transaction } from '../transaction.ts';
import { AuthError, emailExists, errorResponse, invalid, notImplemented, userAlreadyExists } from './errors.ts';
import {
  isUuid,
  normalizeEmail,
  passwordGrantSchema,
  readBody,
  refreshGrantSchema,
  requireStrongPassword,
  signUpSchema,
  userUpdateSchema,
} from './input.ts';
import {
  callerOf,
  endSessions,
  findSession,
  lockSessionOfToken,
  rotateRefreshToken,
  type Session,
  type SignOutScope,
  startSession,
} from './sessions.ts';
import { ACCESS_TOKEN_SECONDS, type Tokens } from './tokens.ts';
import * as users from './users.ts';

/** What every handler works with: the database as `supabase_auth_admin`, and the project's tokens. */
export interface AuthContext {
  pool: pg.Pool;
  tokens: Tokens;
}

/** POST /signup: with an address a permanent user (confirmed at once), without one an anonymous user; signed in. */
export async function signUp(context: AuthContext, request: Request): Promise<Response> {
  const body = await readBody(request, signUpSchema);
  if (body.phone) throw new AuthError(400, 'phone_provider_disabled', 'Phone signups are disabled');
  const id = randomUUID();
  const data = body.data ?? {};
  const email = body.email ? normalizeEmail(body.email) : null;
  if (email !== null) {
    if (!body.password) throw invalid('Signup requires a valid password');
    requireStrongPassword(body.password);
  }
  return transaction(context.pool, async (tx) => {
    if (email === null) await insertAnonymousUser(tx, id, data);
    else await insertSignedUpUser(tx, id, email, body.password ?? '', data);
    return signIn(context, tx, id, email === null ? 'anonymous' : 'password', request);
  });
}

async function insertAnonymousUser(tx: Database, id: string, data: Record<string, unknown>): Promise<void> {
  const user = { id, email: null, password: null, passwordHash: null, appMetadata: {}, userMetadata: data };
  await users.insertUser(tx, { ...user, isAnonymous: true, role: 'authenticated' });
}

/** The user's own data goes into the identity too, and the identity's data into the user: so Supabase Auth has it. */
async function insertSignedUpUser(
  tx: Database,
  id: string,
  email: string,
  password: string,
  data: Record<string, unknown>,
): Promise<void> {
  if ((await users.findUserIdByEmail(tx, email)) !== null) throw userAlreadyExists();
  await users
    .insertUser(tx, {
      id,
      email,
      password,
      passwordHash: null,
      appMetadata: { provider: 'email', providers: ['email'] },
      userMetadata: data,
      isAnonymous: false,
      role: 'authenticated',
    })
    .catch(nameTheRace);
  const identityData = { ...data, sub: id, email, email_verified: false, phone_verified: false };
  await users.insertEmailIdentity(tx, id, identityData);
  await users.mergeMetadata(tx, 'raw_user_meta_data', id, identityData);
  await users.confirmEmail(tx, id);
}

/** Two sign-ups with one address at once: the second fails on the unique index, and hears what a later one hears. */
function nameTheRace(error: unknown): never {
  const constraint = error instanceof Error && 'constraint' in error ? error.constraint : undefined;
  throw constraint === 'users_email_partial_key' ? userAlreadyExists() : error;
}

/** POST /token: `grant_type=password` signs in, `grant_type=refresh_token` renews. */
export async function token(context: AuthContext, request: Request): Promise<Response> {
  const grant = new URL(request.url).searchParams.get('grant_type');
  if (grant === 'password') return passwordGrant(context, request);
  if (grant === 'refresh_token') return refreshGrant(context, request);
  if (grant === 'pkce' || grant === 'id_token' || grant === 'web3') throw notImplemented(`Grant type ${grant}`);
  throw new AuthError(400, 'invalid_credentials', 'unsupported_grant_type');
}

async function passwordGrant(context: AuthContext, request: Request): Promise<Response> {
  const body = await readBody(request, passwordGrantSchema);
  if (body.phone) throw new AuthError(422, 'phone_provider_disabled', 'Phone logins are disabled');
  if (!body.email) throw invalid('missing email or phone');
  const email = body.email.toLowerCase();
  const wrong = new AuthError(400, 'invalid_credentials', 'Invalid login credentials');
  return transaction(context.pool, async (tx) => {
    const id = await users.findUserIdByEmail(tx, email);
    const user = id === null ? null : await users.lockUser(tx, id);
    if (user === null) throw wrong;
    const { hasPassword, matches } = await users.checkPassword(tx, user.id, body.password ?? '');
    if (!hasPassword) throw wrong;
    if (isBanned(user)) throw new AuthError(400, 'user_banned', 'User is banned');
    if (!matches) throw wrong;
    if (user.email_confirmed_at === null) throw new AuthError(400, 'email_not_confirmed', 'Email not confirmed');
    return signIn(context, tx, user.id, 'password', request);
  });
}

async function refreshGrant(context: AuthContext, request: Request): Promise<Response> {
  const body = await readBody(request, refreshGrantSchema);
  const used = body.refresh_token;
  if (!used) throw invalid('refresh_token required');
  return transaction(context.pool, async (tx) => {
    const session = await lockSessionOfToken(tx, used);
    const user = await existingUser(tx, session.userId);
    if (isBanned(user)) throw new AuthError(400, 'user_banned', 'Invalid Refresh Token: User Banned');
    const next = await rotateRefreshToken(tx, session, used, callerOf(request));
    // Answered, not thrown: that the session ended has to be committed.
    if (next === null) return errorResponse(alreadyUsed(), request);
    return sessionResponse(context, tx, session, next);
  });
}

function alreadyUsed(): AuthError {
  return new AuthError(400, 'refresh_token_already_used', 'Invalid Refresh Token: Already Used');
}

/** GET /user. */
export async function getUser(context: AuthContext, request: Request): Promise<Response> {
  const { user } = await authenticate(context, request);
  return userResponse(context.pool, user.id);
}

/**
 * PUT /user. A changed address counts at once, because no mail is sent (Supabase Auth waits for the link in its mail,
 * except for an anonymous user). An anonymous user who gets an address becomes a permanent one. A changed password ends
 * the user's other sessions.
 */
export async function updateUser(context: AuthContext, request: Request): Promise<Response> {
  const { user, session } = await authenticate(context, request);
  const body = await readBody(request, userUpdateSchema);
  if (body.phone) throw notImplemented('A phone number');
  if (body.app_metadata) {
    throw new AuthError(403, 'not_admin', 'Updating app_metadata requires admin privileges');
  }
  const email = body.email ? normalizeEmail(body.email) : null;
  if (typeof body.password === 'string') requireStrongPassword(body.password);
  await transaction(context.pool, async (tx) => {
    const locked = await users.lockUser(tx, user.id);
    if (locked === null) throw noSuchUser();
    if (locked.is_anonymous && body.password && email === null) {
      const message = 'Updating password of an anonymous user without an email or phone is not allowed';
      throw new AuthError(422, 'validation_failed', message);
    }
    if (body.password) await changePassword(tx, user.id, session, body.password);
    if (body.data) await users.mergeMetadata(tx, 'raw_user_meta_data', user.id, body.data);
    if (email !== null && email !== locked.email) await changeEmail(tx, locked, email);
  });
  return userResponse(context.pool, user.id);
}

async function changePassword(tx: Database, userId: string, session: Session | null, password: string): Promise<void> {
  if ((await users.checkPassword(tx, userId, password)).matches) {
    throw new AuthError(422, 'same_password', 'New password should be different from the old password.');
  }
  await users.setPassword(tx, userId, password);
  await endSessions(tx, userId, session?.id ?? null, session === null ? 'global' : 'others');
}

/** The order of the writes is Supabase Auth's: a trigger sees `is_anonymous` turn false before the address appears. */
async function changeEmail(tx: Database, user: users.UserRow, email: string): Promise<void> {
  const owner = await users.findUserIdByEmail(tx, email);
  if (owner !== null && owner !== user.id) throw emailExists();
  await users.setIdentityEmail(tx, user.id, email, true);
  await users.clearAnonymous(tx, user.id);
  await users.setEmail(tx, user.id, email);
  if (user.email_confirmed_at === null) await users.confirmEmail(tx, user.id);
}

/** POST /logout?scope=global|local|others, answered with 204. */
export async function signOut(context: AuthContext, request: Request): Promise<Response> {
  const { user, session } = await authenticate(context, request);
  const scope = new URL(request.url).searchParams.get('scope') || 'global';
  if (!isSignOutScope(scope)) throw invalid(`Unsupported logout scope "${scope}"; use global, local or others.`);
  await endSessions(context.pool, user.id, session?.id ?? null, scope);
  return new Response(null, { status: 204 });
}

function isSignOutScope(scope: string): scope is SignOutScope {
  return scope === 'global' || scope === 'local' || scope === 'others';
}

/**
 * Who the bearer token is. Throws 401 without a token, 403 for a bad one (`bad_jwt`), for a user or session that is no
 * more (`user_not_found`, `session_not_found`) and for a banned user.
 */
async function authenticate(
  context: AuthContext,
  request: Request,
): Promise<{ user: users.UserRow; session: Session | null }> {
  const claims = await context.tokens.verify(request);
  if (!claims.sub) throw new AuthError(403, 'bad_jwt', 'invalid claim: missing sub claim');
  if (!isUuid(claims.sub)) throw new AuthError(400, 'bad_jwt', 'invalid claim: sub claim must be a UUID');
  const user = await existingUser(context.pool, claims.sub);
  const session = await sessionOfClaim(context.pool, claims.session_id);
  if (isBanned(user)) throw new AuthError(403, 'user_banned', 'User is banned');
  return { user, session };
}

async function sessionOfClaim(db: Database, sessionId: unknown): Promise<Session | null> {
  if (sessionId === undefined || sessionId === '') return null;
  if (typeof sessionId !== 'string' || !isUuid(sessionId)) {
    throw new AuthError(403, 'bad_jwt', 'invalid claim: session_id claim must be a UUID');
  }
  const session = await findSession(db, sessionId);
  if (session !== null) return session;
  throw new AuthError(403, 'session_not_found', 'Session from session_id claim in JWT does not exist');
}

async function existingUser(db: Database, id: string): Promise<users.UserRow> {
  const user = await users.findUser(db, id);
  if (user !== null) return user;
  throw noSuchUser();
}

function noSuchUser(): AuthError {
  return new AuthError(403, 'user_not_found', 'User from sub claim in JWT does not exist');
}

function isBanned(user: users.UserRow): boolean {
  return user.banned_until !== null && user.banned_until > new Date();
}

async function signIn(
  context: AuthContext,
  tx: Database,
  userId: string,
  method: Session['method'],
  request: Request,
): Promise<Response> {
  const { session, refreshToken } = await startSession(tx, userId, method, callerOf(request));
  return sessionResponse(context, tx, session, refreshToken);
}

/** The session object of the API. The user is read again: triggers may have changed the row. */
async function sessionResponse(
  context: AuthContext,
  db: Database,
  session: Session,
  refreshToken: string,
): Promise<Response> {
  const user = await existingUser(db, session.userId);
  const { token, expiresAt } = await context.tokens.sign(user, session);
  const [rendered] = await users.renderUsers(db, [user]);
  return Response.json({
    access_token: token,
    token_type: 'bearer',
    expires_in: ACCESS_TOKEN_SECONDS,
    expires_at: expiresAt,
    refresh_token: refreshToken,
    user: rendered,
  });
}

/** The user object of the API, read fresh. */
export async function userResponse(db: Database, userId: string): Promise<Response> {
  const [rendered] = await users.renderUsers(db, [await existingUser(db, userId)]);
  return Response.json(rendered);
}
