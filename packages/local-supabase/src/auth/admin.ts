/** `auth.admin`: what a server does with any account. Only a token of the service role may. */
import { randomBytes, randomUUID } from 'node:crypto';
import { type Database, transaction } from '../transaction.ts';
import { type AuthContext, userResponse } from './account.ts';
import { AuthError, emailExists, invalid, notImplemented } from './errors.ts';
import {
  adminDeleteSchema,
  adminUserSchema,
  isUuid,
  normalizeEmail,
  parseBanDuration,
  parsePage,
  readBody,
  requirePasswordFits,
  requireStrongPassword,
} from './input.ts';
import { endSessions } from './sessions.ts';
import * as users from './users.ts';

const ADMIN_ROLES = ['service_role', 'supabase_admin'];

/** Throws 401 without a token, 403 `bad_jwt` for a bad one and 403 `not_admin` for any role but the service role. */
export async function requireAdmin(context: AuthContext, request: Request): Promise<void> {
  const claims = await context.tokens.verify(request);
  if (typeof claims.role === 'string' && ADMIN_ROLES.includes(claims.role)) return;
  throw new AuthError(403, 'not_admin', 'User not allowed');
}

/** GET /admin/users?page=&per_page=, with the paging headers that `auth.admin.listUsers` reads. */
export async function list(context: AuthContext, request: Request): Promise<Response> {
  const { page, perPage } = parsePage(new URL(request.url).searchParams);
  const [rows, total] = await users.listUsers(context.pool, perPage, (page - 1) * perPage);
  const rendered = await users.renderUsers(context.pool, rows);
  return Response.json(
    { users: rendered, aud: 'authenticated' },
    { headers: { 'x-total-count': String(total), link: pageLinks(page, perPage, total) } },
  );
}

/** `page` stands first in each link: the client takes the number after the first "=". */
function pageLinks(page: number, perPage: number, total: number): string {
  const lastPage = Math.ceil(total / perPage);
  const link = (number: number, rel: string) => `</admin/users?page=${number}&per_page=${perPage}>; rel="${rel}"`;
  const next = page < lastPage ? [link(page + 1, 'next')] : [];
  return [...next, link(lastPage, 'last')].join(', ');
}

/** GET /admin/users/{id}. */
export async function get(context: AuthContext, id: string): Promise<Response> {
  return userResponse(context.pool, (await requireUser(context.pool, id)).id);
}

/** POST /admin/users: a user with an address, confirmed if `email_confirm`; without a password a random one is set. */
export async function create(context: AuthContext, request: Request): Promise<Response> {
  const body = await readBody(request, adminUserSchema);
  if (body.phone) throw notImplemented('A phone number');
  if (!body.email) throw invalid('Cannot create a user without either an email or phone');
  const email = normalizeEmail(body.email);
  const id = body.id || randomUUID();
  if (!isUuid(id)) throw invalid('ID must conform to the uuid v4 format');
  const ban = parseBanDuration(body.ban_duration);
  const credential = newCredential(body.password, body.password_hash);
  await transaction(context.pool, async (tx) => {
    if ((await users.findUserIdByEmail(tx, email)) !== null) throw emailExists();
    await users.insertUser(tx, {
      id,
      email,
      ...credential,
      appMetadata: { provider: 'email', providers: ['email'] },
      userMetadata: body.user_metadata ?? {},
      isAnonymous: false,
      role: body.role?.trim() || 'authenticated',
    });
    await users.insertEmailIdentity(tx, id, { sub: id, email, email_verified: false, phone_verified: false });
    if (body.app_metadata) await users.mergeMetadata(tx, 'raw_app_meta_data', id, body.app_metadata);
    if (body.email_confirm) await users.confirmEmail(tx, id);
    if (ban !== null) await users.setBan(tx, id, ban);
  });
  return userResponse(context.pool, id);
}

function newCredential(
  password: string | null | undefined,
  hash: string | null | undefined,
): { password: string | null; passwordHash: string | null } {
  if (password && hash) throw invalid('Only a password or a password hash should be provided');
  if (hash) {
    if (!/^\$2[aby]\$\d{2}\$[./A-Za-z0-9]{53}$/.test(hash)) throw invalid('password_hash must be a bcrypt hash');
    return { password: null, passwordHash: hash };
  }
  if (password) requirePasswordFits(password);
  return { password: password || randomBytes(32).toString('base64url'), passwordHash: null };
}

/** PUT /admin/users/{id}: any of role, email, password, metadata, confirmation and ban. A new password ends all sessions. */
export async function update(context: AuthContext, id: string, request: Request): Promise<Response> {
  const user = await requireUser(context.pool, id);
  const body = await readBody(request, adminUserSchema);
  if (body.phone) throw notImplemented('A phone number');
  const email = body.email ? normalizeEmail(body.email) : null;
  const ban = parseBanDuration(body.ban_duration);
  if (typeof body.password === 'string') requireStrongPassword(body.password);
  await transaction(context.pool, async (tx) => {
    await users.lockUser(tx, user.id);
    if (body.role?.trim()) await users.setRole(tx, user.id, body.role.trim());
    if (body.email_confirm) await users.confirmEmail(tx, user.id);
    if (body.password) {
      await users.setPassword(tx, user.id, body.password);
      await endSessions(tx, user.id, null, 'global');
    }
    if (email !== null) await changeEmail(tx, user, email, body.email_confirm === true);
    if (body.app_metadata) await users.mergeMetadata(tx, 'raw_app_meta_data', user.id, body.app_metadata);
    if (body.user_metadata) await users.mergeMetadata(tx, 'raw_user_meta_data', user.id, body.user_metadata);
    if (ban !== null) await users.setBan(tx, user.id, ban);
  });
  return userResponse(context.pool, user.id);
}

async function changeEmail(tx: Database, user: users.UserRow, email: string, confirmed: boolean): Promise<void> {
  const owner = await users.findUserIdByEmail(tx, email);
  if (owner !== null && owner !== user.id) throw emailExists();
  await users.setIdentityEmail(tx, user.id, email, confirmed);
  if (confirmed) await users.clearAnonymous(tx, user.id);
  await users.setEmail(tx, user.id, email);
}

/** DELETE /admin/users/{id}, for good or (`should_soft_delete`) keeping an emptied row. */
export async function remove(context: AuthContext, id: string, request: Request): Promise<Response> {
  const body = await readBody(request, adminDeleteSchema);
  await transaction(context.pool, async (tx) => {
    const user = await requireUser(tx, id);
    if (!body.should_soft_delete) await users.deleteUser(tx, user.id);
    else if (user.deleted_at === null) await users.softDeleteUser(tx, user);
  });
  return Response.json({});
}

async function requireUser(db: Database, id: string): Promise<users.UserRow> {
  if (!isUuid(id)) throw new AuthError(404, 'validation_failed', 'user_id must be an UUID');
  const user = await users.findUser(db, id);
  if (user !== null) return user;
  throw new AuthError(404, 'user_not_found', 'User not found');
}
