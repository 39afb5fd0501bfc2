/** Rows of auth.users and auth.identities, written in the order Supabase Auth writes them, because triggers see each step. */
import { createHash } from 'node:crypto';
import type { Database } from '../transaction.ts';

/** The columns of auth.users that this stand-in reads. */
export interface UserRow {
  id: string;
  aud: string;
  role: string;
  email: string | null;
  email_confirmed_at: Date | null;
  phone: string | null;
  phone_confirmed_at: Date | null;
  confirmed_at: Date | null;
  last_sign_in_at: Date | null;
  raw_app_meta_data: Record<string, unknown> | null;
  raw_user_meta_data: Record<string, unknown> | null;
  created_at: Date;
  updated_at: Date;
  banned_until: Date | null;
  deleted_at: Date | null;
  is_anonymous: boolean;
}

/** The columns of auth.identities that a user object shows. */
export interface IdentityRow {
  id: string;
  provider_id: string;
  user_id: string;
  identity_data: Record<string, unknown>;
  provider: string;
  email: string | null;
  last_sign_in_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

/** What a new row of auth.users starts with. `password` is plain, `passwordHash` a bcrypt hash; at most one is given. */
export interface NewUser {
  id: string;
  email: string | null;
  password: string | null;
  passwordHash: string | null;
  appMetadata: Record<string, unknown>;
  userMetadata: Record<string, unknown>;
  isAnonymous: boolean;
  role: string;
}

const USER_COLUMNS = `id, aud, role, email, email_confirmed_at, phone, phone_confirmed_at, confirmed_at,
  last_sign_in_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at, banned_until, deleted_at, is_anonymous`;

/** The user with that id, or null. */
export async function findUser(db: Database, id: string): Promise<UserRow | null> {
  const { rows } = await db.query<UserRow>(`select ${USER_COLUMNS} from auth.users where id = $1`, [id]);
  return rows[0] ?? null;
}

/** The same, locked against other writers until the transaction ends. */
export async function lockUser(tx: Database, id: string): Promise<UserRow | null> {
  const { rows } = await tx.query<UserRow>(`select ${USER_COLUMNS} from auth.users where id = $1 for no key update`, [
    id,
  ]);
  return rows[0] ?? null;
}

/** The id of the user who has that address (in lower case), or null. */
export async function findUserIdByEmail(db: Database, email: string): Promise<string | null> {
  const { rows } = await db.query<{ id: string }>(
    'select id from auth.users where email = $1 and is_sso_user = false',
    [email],
  );
  return rows[0]?.id ?? null;
}

/** One page of users, newest first, and how many there are in all. */
export async function listUsers(db: Database, limit: number, offset: number): Promise<[UserRow[], number]> {
  const page = await db.query<UserRow>(
    `select ${USER_COLUMNS} from auth.users order by created_at desc, id limit $1 offset $2`,
    [limit, offset],
  );
  const count = await db.query<{ total: string }>('select count(*) as total from auth.users');
  return [page.rows, Number(count.rows[0]?.total ?? 0)];
}

/**
 * Whether the user's password is `password`; `hasPassword` is false for users who have none.
 * pgcrypto knows bcrypt hashes under the prefix $2a$ alone; $2b$ and $2y$ are the same function for 72 bytes and less.
 */
export async function checkPassword(
  db: Database,
  userId: string,
  password: string,
): Promise<{ hasPassword: boolean; matches: boolean }> {
  const { rows } = await db.query<{ matches: boolean }>(
    `select extensions.crypt($2, hash) = hash as matches
     from (select regexp_replace(encrypted_password, '^\\$2[by]\\$', '$2a$') as hash from auth.users where id = $1) as u
     where hash ~ '^\\$2a\\$[0-9]{2}\\$[./A-Za-z0-9]{53}$'`,
    [userId, password],
  );
  return { hasPassword: rows.length > 0, matches: rows[0]?.matches === true };
}

/**
 * Inserts a user, unconfirmed and with an empty role, then sets the role: the two steps Supabase Auth takes.
 * pgcrypto's default bcrypt cost (6) is lower than Supabase's (10): a development machine signs up many users.
 */
export async function insertUser(db: Database, user: NewUser): Promise<void> {
  await db.query(
    `insert into auth.users (instance_id, id, aud, role, email, encrypted_password, confirmation_token, recovery_token,
       email_change_token_new, email_change, raw_app_meta_data, raw_user_meta_data, is_anonymous, created_at, updated_at)
     values ('00000000-0000-0000-0000-000000000000', $1, 'authenticated', '', $2,
       coalesce($3, extensions.crypt($4, extensions.gen_salt('bf')), ''), '', '', '', '', $5, $6, $7, now(), now())`,
    [
      user.id,
      user.email,
      user.passwordHash,
      user.password,
      JSON.stringify(user.appMetadata),
      JSON.stringify(user.userMetadata),
      user.isAnonymous,
    ],
  );
  await setRole(db, user.id, user.role);
}

/** Sets the database role that the user's tokens claim. */
export async function setRole(db: Database, userId: string, role: string): Promise<void> {
  await db.query('update auth.users set role = $2, updated_at = now() where id = $1', [userId, role]);
}

/** Gives the user an identity of provider `email` and lists it in the user's app_metadata. */
export async function insertEmailIdentity(
  db: Database,
  userId: string,
  identityData: Record<string, unknown>,
): Promise<void> {
  await db.query(
    `insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
     values ($1::text, $1::uuid, $2, 'email', now(), now(), now())`,
    [userId, JSON.stringify(identityData)],
  );
  await mergeMetadata(db, 'raw_app_meta_data', userId, { provider: 'email', providers: ['email'] });
}

/** Marks the address as confirmed, now. */
export async function confirmEmail(db: Database, userId: string): Promise<void> {
  await db.query(
    `update auth.users set confirmation_token = '', email_confirmed_at = now(), updated_at = now() where id = $1`,
    [userId],
  );
  await mergeMetadata(db, 'raw_user_meta_data', userId, { email_verified: true });
}

/** Writes the address (in lower case) to the email identity, made where there is none. */
export async function setIdentityEmail(db: Database, userId: string, email: string, verified: boolean): Promise<void> {
  const changes = { email, email_verified: verified };
  const updated = await db.query(
    `update auth.identities set identity_data = identity_data || $2::jsonb, updated_at = now()
     where user_id = $1 and provider = 'email'`,
    [userId, JSON.stringify(changes)],
  );
  if (updated.rowCount === 0) {
    await insertEmailIdentity(db, userId, { sub: userId, ...changes, phone_verified: false });
  }
}

/** Writes the address (in lower case) to the user. */
export async function setEmail(db: Database, userId: string, email: string): Promise<void> {
  await db.query(
    `update auth.users set email = $2, email_change = '', email_change_token_current = '', email_change_token_new = '',
       email_change_confirm_status = 0, updated_at = now() where id = $1`,
    [userId, email],
  );
}

/** An anonymous user becomes a permanent one. */
export async function clearAnonymous(db: Database, userId: string): Promise<void> {
  await db.query('update auth.users set is_anonymous = false, updated_at = now() where id = $1 and is_anonymous', [
    userId,
  ]);
}

/** Sets a plain password and ends what the old one had begun. */
export async function setPassword(db: Database, userId: string, password: string): Promise<void> {
  await db.query(
    `update auth.users set encrypted_password = extensions.crypt($2, extensions.gen_salt('bf')), confirmation_token = '',
       recovery_token = '', email_change_token_current = '', email_change_token_new = '', reauthentication_token = '',
       updated_at = now() where id = $1`,
    [userId, password],
  );
}

/** Bans the user for that many milliseconds; 0 lifts a ban. */
export async function setBan(db: Database, userId: string, milliseconds: number): Promise<void> {
  const until = milliseconds === 0 ? null : new Date(Date.now() + milliseconds);
  await db.query('update auth.users set banned_until = $2, updated_at = now() where id = $1', [userId, until]);
}

/** Merges into the metadata of a user: keys that are null are taken out, others replaced, the rest stays. */
export async function mergeMetadata(
  db: Database,
  column: 'raw_app_meta_data' | 'raw_user_meta_data',
  userId: string,
  changes: Record<string, unknown>,
): Promise<void> {
  const entries = Object.entries(changes);
  const removed = entries.filter(([, value]) => value === null).map(([key]) => key);
  const set = Object.fromEntries(entries.filter(([, value]) => value !== null));
  await db.query(
    `update auth.users set ${column} = (coalesce(${column}, '{}') || $2::jsonb) - $3::text[], updated_at = now()
     where id = $1`,
    [userId, JSON.stringify(set), removed],
  );
}

/** Records a sign-in on the user and on the email identity. */
export async function touchSignIn(db: Database, userId: string): Promise<void> {
  await db.query('update auth.users set last_sign_in_at = now(), updated_at = now() where id = $1', [userId]);
  await db.query(
    `update auth.identities set last_sign_in_at = now(), updated_at = now() where user_id = $1 and provider = 'email'`,
    [userId],
  );
}

/** Deletes the user; everything that references the row cascades. */
export async function deleteUser(db: Database, userId: string): Promise<void> {
  await db.query('delete from auth.users where id = $1', [userId]);
}

/** Keeps the row and takes the person out of it: addresses become hashes, the rest is emptied. Sessions end. */
export async function softDeleteUser(db: Database, user: UserRow): Promise<void> {
  await db.query(
    `update auth.users set email = $2, phone = $3, encrypted_password = null, confirmation_token = '',
       recovery_token = '', email_change = '', email_change_token_current = '', email_change_token_new = '',
       phone_change = '', phone_change_token = '', reauthentication_token = '', raw_user_meta_data = '{}',
       raw_app_meta_data = '{}', deleted_at = now(), updated_at = now() where id = $1`,
    [user.id, obfuscate(user.id, user.email), obfuscate(user.id, user.phone)],
  );
  const { rows } = await db.query<{ id: string; provider: string; provider_id: string }>(
    'select id, provider, provider_id from auth.identities where user_id = $1',
    [user.id],
  );
  for (const identity of rows) {
    const providerId = obfuscate(user.id, `${identity.provider}:${identity.provider_id}`);
    await db.query(
      `update auth.identities set provider_id = $2, identity_data = '{}', updated_at = now() where id = $1`,
      [identity.id, providerId],
    );
  }
  await db.query('delete from auth.sessions where user_id = $1', [user.id]);
}

function obfuscate(userId: string, value: string | null): string | null {
  return value === null ? null : createHash('sha256').update(`${userId}${value}`).digest('base64url');
}

/** The user objects of the API, in the order of `users`. */
export async function renderUsers(db: Database, users: UserRow[]): Promise<object[]> {
  const { rows } = await db.query<IdentityRow>(
    `select id, provider_id, user_id, identity_data, provider, email, last_sign_in_at, created_at, updated_at
     from auth.identities where user_id = any($1) order by created_at, id`,
    [users.map((user) => user.id)],
  );
  return users.map((user) =>
    renderUser(
      user,
      rows.filter((identity) => identity.user_id === user.id),
    ),
  );
}

function renderUser(user: UserRow, identities: IdentityRow[]): object {
  return {
    id: user.id,
    aud: user.aud,
    role: user.role,
    email: user.email ?? '',
    email_confirmed_at: user.email_confirmed_at ?? undefined,
    phone: user.phone ?? '',
    phone_confirmed_at: user.phone_confirmed_at ?? undefined,
    confirmed_at: user.confirmed_at ?? undefined,
    last_sign_in_at: user.last_sign_in_at ?? undefined,
    app_metadata: user.raw_app_meta_data ?? {},
    user_metadata: user.raw_user_meta_data ?? {},
    identities: identities.map(renderIdentity),
    created_at: user.created_at,
    updated_at: user.updated_at,
    banned_until: user.banned_until ?? undefined,
    deleted_at: user.deleted_at ?? undefined,
    is_anonymous: user.is_anonymous,
  };
}

/** The API calls the row's id `identity_id`, and the provider's id `id`. */
function renderIdentity(identity: IdentityRow): object {
  const { id, provider_id, email, ...rest } = identity;
  return { identity_id: id, id: provider_id, ...rest, email: email ?? undefined };
}
