/** What comes in, checked once at the door: bodies, addresses, passwords, durations, pages. */
import { z } from 'zod';
import { AuthError, invalid } from './errors.ts';

/** Bytes; Supabase Auth refuses larger bodies too. */
const MAX_BODY_BYTES = 1_048_576;
/** Deeper JSON than this overflows a stack somewhere on the way to Postgres. */
const MAX_JSON_DEPTH = 100;
/** Bytes, as Supabase Auth counts; `supabase start` has the same minimum. */
const MIN_PASSWORD_LENGTH = 6;
/** bcrypt reads no more than this many bytes. */
const MAX_PASSWORD_BYTES = 72;
const MAX_EMAIL_LENGTH = 255;
/** Go's time.Duration, in which Supabase Auth counts a ban, ends near 292 years. */
const MAX_DURATION_MS = 292 * 365.25 * 24 * 3_600_000;
const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_NUMBER = 1_000_000_000;
const MAX_PAGE_SIZE = 10_000;

const text = z.string().nullish();
const metadata = z.record(z.string(), z.unknown()).nullish();

/** POST /signup. */
export const signUpSchema = z.object({ email: text, phone: text, password: text, data: metadata });
/** POST /token?grant_type=password. */
export const passwordGrantSchema = z.object({ email: text, phone: text, password: text });
/** POST /token?grant_type=refresh_token. */
export const refreshGrantSchema = z.object({ refresh_token: text });
/** PUT /user. */
export const userUpdateSchema = z.object({
  email: text,
  phone: text,
  password: text,
  data: metadata,
  app_metadata: metadata,
});
/** POST /admin/users and PUT /admin/users/{id}. */
export const adminUserSchema = z.object({
  id: text,
  email: text,
  phone: text,
  password: text,
  password_hash: text,
  role: text,
  email_confirm: z.boolean().nullish(),
  user_metadata: metadata,
  app_metadata: metadata,
  ban_duration: text,
});
/** DELETE /admin/users/{id}. */
export const adminDeleteSchema = z.object({ should_soft_delete: z.boolean().nullish() });

/**
 * Reads a JSON body of the schema's type. An empty body counts as `{}`.
 * Throws 400 `bad_json` when it is no JSON object, `validation_failed` when a member has the wrong type or holds what
 * Postgres can't store (a NUL, half a surrogate pair).
 */
export async function readBody<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  const source = await request.text();
  if (Buffer.byteLength(source) > MAX_BODY_BYTES) throw invalid(`The body is larger than ${MAX_BODY_BYTES} bytes.`);
  const body = source === '' ? {} : parseJson(source);
  refuseUnstorable(body);
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(`${issue?.path.join('.') || 'The body'}: ${issue?.message ?? 'wrong type'}`);
}

function parseJson(source: string): unknown {
  let body: unknown;
  try {
    body = JSON.parse(source);
  } catch {
    throw new AuthError(400, 'bad_json', 'The body could not be parsed as JSON.');
  }
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body;
  throw new AuthError(400, 'bad_json', 'The body must be a JSON object.');
}

/** Walks with a list of its own instead of recursion, so that a deeply nested body can't overflow the stack. */
function refuseUnstorable(body: unknown): void {
  const pending: { value: unknown; depth: number }[] = [{ value: body, depth: 0 }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { value, depth } = next;
    if (depth > MAX_JSON_DEPTH) throw invalid(`The body is nested deeper than ${MAX_JSON_DEPTH} levels.`);
    if (typeof value === 'string') requireStorable(value);
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, member] of Object.entries(value)) {
      requireStorable(key);
      pending.push({ value: member, depth: depth + 1 });
    }
  }
}

function requireStorable(value: string): void {
  if (value.includes('\0')) throw invalid('The body has a NUL character, which Postgres can not store.');
  if (/\p{Surrogate}/u.test(value)) throw invalid('The body has half a surrogate pair, which is not valid Unicode.');
}

/** The address in lower case. Throws 400 `validation_failed` when it is not an email address. */
export function normalizeEmail(email: string): string {
  const form = /^[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
  const normalized = email.toLowerCase();
  if (normalized.length > MAX_EMAIL_LENGTH || !form.test(normalized)) {
    throw invalid('Unable to validate email address: invalid format');
  }
  return normalized;
}

/** Throws 422 `weak_password` for a short password and 400 for one that bcrypt would cut off. */
export function requireStrongPassword(password: string): void {
  requirePasswordFits(password);
  if (Buffer.byteLength(password) >= MIN_PASSWORD_LENGTH) return;
  throw new AuthError(422, 'weak_password', `Password should be at least ${MIN_PASSWORD_LENGTH} characters.`, {
    weak_password: { reasons: ['length'] },
  });
}

/** Throws 400 for a password that is longer than bcrypt reads. */
export function requirePasswordFits(password: string): void {
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    throw invalid(`Password cannot be longer than ${MAX_PASSWORD_BYTES} bytes.`);
  }
}

/** Whether `value` has the form of a UUID. */
export function isUuid(value: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(value);
}

/**
 * A ban as Supabase's admin API takes it: a Go duration such as `24h` or `1h30m`, or `none`.
 * Gives milliseconds (0 lifts the ban), or null when nothing is said about it.
 */
export function parseBanDuration(duration: string | null | undefined): number | null {
  if (!duration) return null;
  if (duration === 'none' || duration === '0') return 0;
  const units: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 3.6e6 };
  const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g;
  if (!new RegExp(`^(?:${part.source})+$`).test(duration)) {
    throw invalid(`Invalid format for ban duration: "${duration}"; write for example "24h", "1h30m" or "none".`);
  }
  const parts = [...duration.matchAll(part)];
  const milliseconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ''] ?? 0), 0);
  if (milliseconds > MAX_DURATION_MS) throw invalid('Invalid ban duration: longer than 292 years.');
  return milliseconds;
}

/** The `page` (from 1) and `per_page` of a list; absent or empty means 1 and 50. */
export function parsePage(query: URLSearchParams): { page: number; perPage: number } {
  const page = parseCount(query.get('page'), 'page', 1, MAX_PAGE_NUMBER);
  const perPage = parseCount(query.get('per_page'), 'per_page', DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
  return { page, perPage };
}

function parseCount(value: string | null, name: string, fallback: number, max: number): number {
  if (value === null || value === '') return fallback;
  const count = /^\d{1,12}$/.test(value) ? Number(value) : 0;
  if (count < 1 || count > max) throw invalid(`Bad pagination: ${name} must be a whole number from 1 to ${max}.`);
  return count;
}
