/** What comes in, checked once at the door: paths, bodies, the file of an upload. */
import { z } from 'zod';
import { invalid, invalidKey, StorageError } from './errors.ts';

/** Bytes of a JSON body. */
const MAX_JSON_BYTES = 1_048_576;
/** What a form may hold beside its file. */
const FORM_OVERHEAD = 65_536;
/** Storage's: what S3 takes as a key. */
const KEY = /^(\w|\/|!|-|\.|\*|'|\(|\)| |&|\$|@|=|;|:|\+|,|\?)+$/;
const MAX_KEY_LENGTH = 1024;

/** POST /object/sign/{bucket}/{path}. */
export const signSchema = z.object({ expiresIn: z.int().min(1).max(2_147_483_647) });
/** POST /object/sign/{bucket}. */
export const signManySchema = signSchema.extend({ paths: z.array(z.string()).min(1).max(1000) });
/** DELETE /object/{bucket}. */
export const removeSchema = z.object({ prefixes: z.array(z.string()).min(1).max(1000) });
/** POST /object/list/{bucket}. */
export const listSchema = z.object({
  prefix: z.string().default(''),
  limit: z.int().min(1).max(10_000).default(100),
  offset: z.int().min(0).max(2_147_483_647).default(0),
  search: z.string().default(''),
  sortBy: z
    .object({
      column: z.enum(['name', 'updated_at', 'created_at', 'last_accessed_at']).default('name'),
      order: z.enum(['asc', 'desc']).default('asc'),
    })
    .prefault({}),
});
/** POST /bucket. */
export const bucketSchema = z.object({
  id: z.string().optional(),
  name: z.string().regex(/^[\w!\-.*'() &$@=;:+,?]{1,63}$/),
  public: z.boolean().default(false),
  file_size_limit: z.int().min(0).nullish(),
  allowed_mime_types: z.array(z.string()).nullish(),
});

/** Reads a JSON body of the schema's type. Throws 400 where it is none. */
export async function readBody<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  const source = await request.text();
  if (source.length > MAX_JSON_BYTES) throw invalid(`The body is larger than ${MAX_JSON_BYTES} bytes.`);
  let body: unknown;
  try {
    body = JSON.parse(source);
  } catch {
    throw invalid('Body is not valid JSON');
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new StorageError(400, 'Error', `body/${issue?.path.join('/') ?? ''} ${issue?.message ?? ''}`);
}

/** A file: its bucket and its name there. */
export type Address = { bucket: string; name: string };

/** Reads `{bucket}/{path}` off the end of a request's path, after `prefix`. Throws `InvalidKey` where it is no such thing. */
export function addressIn(request: Request, prefix: string): Address {
  const raw = new URL(request.url).pathname.slice(prefix.length);
  const slash = raw.indexOf('/');
  if (slash < 1) throw invalidKey(raw);
  return { bucket: decoded(raw.slice(0, slash)), name: validKey(decoded(raw.slice(slash + 1))) };
}

/** Reads `{bucket}` off the end of a request's path. */
export function bucketIn(request: Request, prefix: string): string {
  return decoded(new URL(request.url).pathname.slice(prefix.length));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalidKey(text);
  }
}

/** Storage's rule; and stricter than it, no part of a name may be empty, `.` or `..`. */
export function validKey(name: string): string {
  const odd = name.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (odd || name.length > MAX_KEY_LENGTH || !KEY.test(name)) throw invalidKey(name);
  return name;
}

/** What an upload brings. */
export type Upload = {
  body: ReadableStream<Uint8Array> | null;
  mimeType: string;
  cacheControl: string;
  metadata: object | null;
};

/**
 * The file of an upload. As the body itself it is a stream that nothing has read yet. A form (what supabase-js makes of a
 * Blob) is read whole, so no more of it is taken than `limit` allows: then `tooLong` says what to throw.
 */
export async function uploadIn(request: Request, limit: number, tooLong: () => Error): Promise<Upload> {
  const type = request.headers.get('content-type') ?? 'application/octet-stream';
  if (!type.startsWith('multipart/form-data')) {
    return {
      body: request.body,
      mimeType: type,
      cacheControl: request.headers.get('cache-control') ?? 'no-cache',
      metadata: parseMetadata(fromBase64(request.headers.get('x-metadata'))),
    };
  }
  const form = await readForm(request, limit + FORM_OVERHEAD, tooLong);
  const file = [...form.values()].find((value) => value instanceof Blob);
  if (!file) throw invalid('No file provided');
  const maxAge = form.get('cacheControl');
  return {
    body: file.stream(),
    mimeType: file.type || 'application/octet-stream',
    cacheControl: typeof maxAge === 'string' ? `max-age=${maxAge}` : 'no-cache',
    metadata: parseMetadata(form.get('metadata')),
  };
}

async function readForm(request: Request, limit: number, tooLong: () => Error): Promise<FormData> {
  let size = 0;
  const counted = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      size += chunk.byteLength;
      // What is too much is read to its end and dropped: the caller then gets to read the answer.
      if (size <= limit) controller.enqueue(chunk);
    },
  });
  const body = request.body?.pipeThrough(counted) ?? null;
  const headers = { 'content-type': request.headers.get('content-type') ?? '' };
  try {
    return await new Response(body, { headers }).formData();
  } catch {
    throw size > limit ? tooLong() : invalid('Unexpected form received');
  }
}

function fromBase64(text: string | null): string | null {
  return text && Buffer.from(text, 'base64').toString();
}

function parseMetadata(text: unknown): object | null {
  if (typeof text !== 'string') return null;
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
