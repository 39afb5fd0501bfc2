/** Reading files: by policy, by signed URL, from public buckets; and what is known of them. */
import type pg from 'pg';
import type { StorageContext } from './app.ts';
import { findBucket } from './buckets.ts';
import { asCaller } from './database.ts';
import { noSuchKey, StorageError } from './errors.ts';
import { type Address, addressIn, listSchema, readBody, signManySchema, signSchema } from './input.ts';

type ObjectRow = {
  id: string;
  name: string;
  version: string | null;
  bucket_id: string;
  created_at: Date;
  updated_at: Date;
  metadata: { eTag?: string; size?: number; mimetype?: string; cacheControl?: string; lastModified?: string } | null;
  user_metadata: object | null;
};

/** GET and HEAD /object/{bucket}/{path} and /object/authenticated/{bucket}/{path}. */
export async function download(context: StorageContext, request: Request, prefix: string): Promise<Response> {
  return render(context, request, await visibleObject(context, request, addressIn(request, prefix)));
}

/** GET /object/public/{bucket}/{path}: of a public bucket, for everyone. */
export async function downloadPublic(context: StorageContext, request: Request): Promise<Response> {
  const address = addressIn(request, '/object/public/');
  const bucket = await findBucket(context.pool, address.bucket);
  if (!bucket.public) throw new StorageError(404, 'Bucket not found', 'Bucket not found');
  return render(context, request, await findObject(context.pool, address));
}

/** GET /object/sign/{bucket}/{path}?token=: for whoever has the URL, as long as it lasts. */
export async function downloadSigned(context: StorageContext, request: Request): Promise<Response> {
  const address = addressIn(request, '/object/sign/');
  const token = new URL(request.url).searchParams.get('token') ?? undefined;
  const expiresAt = await context.callers.checkUrl(`${address.bucket}/${address.name}`, token);
  const response = await render(context, request, await findObject(context.pool, address));
  response.headers.delete('cache-control');
  response.headers.set('expires', new Date(expiresAt * 1000).toUTCString());
  return response;
}

/** POST /object/sign/{bucket}/{path}: a URL for a file that the caller may read. */
export async function sign(context: StorageContext, request: Request): Promise<Response> {
  const address = addressIn(request, '/object/sign/');
  const caller = await context.callers.of(request);
  const { expiresIn } = await readBody(request, signSchema);
  await asCaller(context.pool, caller, (tx) => findObject(tx, address));
  return Response.json({ signedURL: await signedPath(context, address, expiresIn) });
}

/** POST /object/sign/{bucket}: URLs for several files; one that the caller may not read gets an error in its place. */
export async function signMany(context: StorageContext, request: Request, bucket: string): Promise<Response> {
  const caller = await context.callers.of(request);
  const { expiresIn, paths } = await readBody(request, signManySchema);
  const visible = await asCaller(context.pool, caller, async (tx) => {
    const text = 'select name from storage.objects where bucket_id = $1 and name = any ($2)';
    return new Set((await tx.query(text, [bucket, paths])).rows.map(({ name }) => name));
  });
  const error = 'Either the object does not exist or you do not have access to it';
  const answers = paths.map(async (path) =>
    visible.has(path)
      ? { error: null, path, signedURL: await signedPath(context, { bucket, name: path }, expiresIn) }
      : { error, path, signedURL: null },
  );
  return Response.json(await Promise.all(answers));
}

async function signedPath({ callers }: StorageContext, { bucket, name }: Address, seconds: number): Promise<string> {
  const file = `${bucket}/${name}`;
  return `/object/sign/${file}?token=${await callers.signUrl(file, seconds)}`;
}

/** GET /object/info/{bucket}/{path} and /object/info/authenticated/{bucket}/{path}. */
export async function info(context: StorageContext, request: Request, prefix: string): Promise<Response> {
  const row = await visibleObject(context, request, addressIn(request, prefix));
  return Response.json({
    id: row.id,
    name: row.name,
    version: row.version,
    bucket_id: row.bucket_id,
    size: row.metadata?.size ?? null,
    content_type: row.metadata?.mimetype ?? null,
    cache_control: row.metadata?.cacheControl ?? null,
    etag: row.metadata?.eTag ?? null,
    metadata: row.user_metadata ?? {},
    last_modified: row.updated_at,
    created_at: row.created_at,
  });
}

/** POST /object/list/{bucket}: one folder's files, and its folders with no id, as far as the caller may see them. */
export async function list(context: StorageContext, request: Request, bucket: string): Promise<Response> {
  const caller = await context.callers.of(request);
  const { prefix, limit, offset, search, sortBy } = await readBody(request, listSchema);
  const folder = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`;
  const level = folder.split('/').length;
  const rows = await asCaller(context.pool, caller, async (tx) => {
    const text = `${ENTRIES} order by ${sortBy.column} ${sortBy.order}, name limit $5 offset $6`;
    return (await tx.query(text, [bucket, folder, level, search, limit, offset])).rows;
  });
  return Response.json(rows);
}

const ENTRIES = `
  with found as (
    select path_tokens[$3] as entry, cardinality(path_tokens) > $3 as is_folder, o.*
      from storage.objects o
     where o.bucket_id = $1 and starts_with(lower(o.name), lower($2))
       and starts_with(lower(path_tokens[$3]), lower($4)))
  select entry as name, null::uuid as id, null::timestamptz as updated_at, null::timestamptz as created_at,
         null::timestamptz as last_accessed_at, null::jsonb as metadata
    from found where is_folder group by entry
   union all
  select entry, id, updated_at, created_at, last_accessed_at, metadata from found where not is_folder`;

async function visibleObject(context: StorageContext, request: Request, address: Address): Promise<ObjectRow> {
  const caller = await context.callers.of(request);
  const bucket = await findBucket(context.pool, address.bucket);
  if (bucket.public) return findObject(context.pool, address);
  return asCaller(context.pool, caller, (tx) => findObject(tx, address));
}

async function findObject(db: pg.Pool | pg.ClientBase, { bucket, name }: Address): Promise<ObjectRow> {
  const found = await db.query<ObjectRow>('select * from storage.objects where bucket_id = $1 and name = $2', [
    bucket,
    name,
  ]);
  if (!found.rows[0]) throw noSuchKey();
  return found.rows[0];
}

/** The file itself, or the part of it that `Range` asks for: players of video ask for parts. */
async function render({ files }: StorageContext, request: Request, row: ObjectRow): Promise<Response> {
  const { size = 0, mimetype = 'application/octet-stream', eTag = '', cacheControl = 'no-cache' } = row.metadata ?? {};
  const range = rangeOf(request.headers.get('range'), size);
  const body = row.version === null ? undefined : await files.read(row.version, range);
  if (!body) throw noSuchKey();
  const headers = new Headers({
    'accept-ranges': 'bytes',
    // Pages of a stranger's making are not to run here.
    'content-type': mimetype.includes('text/html') ? 'text/plain' : mimetype,
    'content-length': String(range ? range.end - range.start + 1 : size),
    'cache-control': cacheControl,
    etag: eTag,
    'last-modified': row.updated_at.toUTCString(),
  });
  if (range) headers.set('content-range', `bytes ${range.start}-${range.end}/${size}`);
  const asFile = new URL(request.url).searchParams.get('download');
  if (asFile !== null) headers.set('content-disposition', disposition(asFile));
  if (request.method !== 'HEAD') return new Response(body, { status: range ? 206 : 200, headers });
  await body.cancel();
  return new Response(null, { headers });
}

function disposition(name: string): string {
  const encoded = encodeURIComponent(name);
  return name === '' ? 'attachment;' : `attachment; filename=${encoded}; filename*=UTF-8''${encoded};`;
}

/** Undefined for the whole file; a header that asks for several parts, or in another unit, is not obeyed. */
function rangeOf(header: string | null, size: number): { start: number; end: number } | undefined {
  const [, from, to] = header?.match(/^bytes=(\d*)-(\d*)$/) ?? [];
  if (from === undefined || (from === '' && !to)) return undefined;
  const start = from === '' ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (start > end) throw new StorageError(400, 'invalid_range', 'invalid range provided');
  return { start, end };
}
