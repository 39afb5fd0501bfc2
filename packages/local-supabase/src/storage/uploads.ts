/** Writing files: who may is asked of the policies first, then the bytes come, then the row. */
import { Readable } from 'node:stream';
import type { ReadableStream as NodeStream } from 'node:stream/web';
import type pg from 'pg';
import { transaction } from '../transaction.ts';
import type { StorageContext } from './app.ts';
import { findBucket } from './buckets.ts';
import type { Caller } from './callers.ts';
import { asCaller, tryAsCaller } from './database.ts';
import { noSuchKey, StorageError, tooLarge } from './errors.ts';
import { drain, type Stored } from './files.ts';
import { type Address, addressIn, readBody, removeSchema, type Upload, uploadIn, validKey } from './input.ts';

type Mode = 'insert' | 'upsert' | 'update';

/** How long a signed upload can be used, s: as on the platform. */
const UPLOAD_SIGNED_FOR = 7200;

/** POST /object/{bucket}/{path}, with `x-upsert: true` also over an earlier file; PUT over an earlier one alone. */
export async function upload(context: StorageContext, request: Request): Promise<Response> {
  const address = addressIn(request, '/object/');
  const mode: Mode = request.method === 'PUT' ? 'update' : modeOf(upserts(request));
  return receive(context, request, async () => {
    const caller = await context.callers.of(request);
    await findBucket(context.pool, address.bucket);
    await tryAsCaller(context.pool, caller, (tx) => write(tx, mode, address, ownerOf(caller), null, null));
    return { mode, address, owner: ownerOf(caller) };
  });
}

/** POST /object/upload/sign/{bucket}/{path}: a URL to which whoever has it may upload this one file, as the caller could. */
export async function signUpload(context: StorageContext, request: Request): Promise<Response> {
  const address = addressIn(request, '/object/upload/sign/');
  const caller = await context.callers.of(request);
  const grant = { owner: ownerOf(caller), upsert: upserts(request) };
  await findBucket(context.pool, address.bucket);
  await tryAsCaller(context.pool, caller, (tx) => write(tx, modeOf(grant.upsert), address, grant.owner, null, null));
  const file = `${address.bucket}/${address.name}`;
  const token = await context.callers.signUrl(file, UPLOAD_SIGNED_FOR, grant);
  return Response.json({ url: `/object/upload/sign/${file}?token=${token}`, token });
}

/** PUT /object/upload/sign/{bucket}/{path}?token=: the policies were asked when it was signed. */
export async function uploadSigned(context: StorageContext, request: Request): Promise<Response> {
  const address = addressIn(request, '/object/upload/sign/');
  const token = new URL(request.url).searchParams.get('token') ?? undefined;
  return receive(context, request, async () => {
    const { owner, upsert } = await context.callers.checkUpload(`${address.bucket}/${address.name}`, token);
    return { mode: modeOf(upsert), address, owner };
  });
}

/** What an upload may write, and for whom. */
type Permit = { mode: Mode; address: Address; owner: string | null };

const upserts = (request: Request) => request.headers.get('x-upsert') === 'true';
const modeOf = (upsert: boolean): Mode => (upsert ? 'upsert' : 'insert');
const ownerOf = ({ claims }: Caller) => (typeof claims.sub === 'string' ? claims.sub : null);

/** Takes a file in, once `permit` says that it may come. */
async function receive(context: StorageContext, request: Request, permit: () => Promise<Permit>): Promise<Response> {
  try {
    const permitted = await permit();
    const { bucket, name } = permitted.address;
    const { limit, mimeTypes } = await limitsOf(context, bucket);
    if (Number(request.headers.get('content-length')) > limit + 65_536) throw tooLarge();
    const file = await uploadIn(request, limit, tooLarge);
    refuseMimeType(file.mimeType, mimeTypes);
    const stored = await context.files.write(file.body, limit);
    const id = await record(context, permitted, file, stored);
    return Response.json({ Key: `${bucket}/${name}`, Id: id });
  } catch (error) {
    if (request.body && !request.body.locked) await drain(Readable.fromWeb(request.body as NodeStream<Uint8Array>));
    throw error;
  }
}

async function limitsOf(context: StorageContext, id: string): Promise<{ limit: number; mimeTypes: string[] | null }> {
  const bucket = await findBucket(context.pool, id);
  const ofBucket = bucket.file_size_limit === null ? Infinity : Number(bucket.file_size_limit);
  return { limit: Math.min(ofBucket, context.fileSizeLimit), mimeTypes: bucket.allowed_mime_types };
}

function refuseMimeType(given: string, allowed: string[] | null): void {
  if (!allowed || allowed.length === 0) return;
  const [type = ''] = given.toLowerCase().split(';');
  const matches = (pattern: string) =>
    pattern.endsWith('/*') ? type.trim().startsWith(pattern.slice(0, -1)) : type.trim() === pattern;
  if (!allowed.some((pattern) => pattern === '*/*' || matches(pattern.toLowerCase()))) {
    throw new StorageError(415, 'invalid_mime_type', `mime type ${given} is not supported`);
  }
}

/** Makes the row of a file that has arrived, and deletes the file it takes the place of. Gives the row's id. */
async function record(
  { pool, files }: StorageContext,
  { mode, address, owner }: Permit,
  file: Upload,
  stored: Stored,
): Promise<string> {
  try {
    const { id, before } = await transaction(pool, async (tx) => {
      const key = `${address.bucket}/${address.name}`;
      await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [key]);
      const earlier = await tx.query('select version from storage.objects where bucket_id = $1 and name = $2', [
        address.bucket,
        address.name,
      ]);
      const id = await write(tx, mode, address, owner, file, stored);
      return { id, before: earlier.rows[0]?.version ?? null };
    });
    await files.remove([before]);
    return id;
  } catch (error) {
    await files.remove([stored.version]);
    throw error;
  }
}

/** Writes the row. As the caller and without a file it only shows whether the policies let it. */
async function write(
  tx: pg.ClientBase,
  mode: Mode,
  { bucket, name }: Address,
  owner: string | null,
  file: Upload | null,
  stored: Stored | null,
): Promise<string> {
  const metadata = file && stored && objectMetadata(file, stored);
  const values = [bucket, name, owner, stored?.version ?? null, metadata, file?.metadata ?? null];
  // Not "returning" as the caller: that would ask for the right to read as well.
  const returning = stored ? 'returning id' : '';
  const result = await tx.query(`${STATEMENTS[mode]} ${returning}`, values);
  if (result.rowCount === 0) throw noSuchKey();
  return result.rows[0]?.id ?? '';
}

const INSERT = `insert into storage.objects as o (bucket_id, name, owner_id, owner, version, metadata, user_metadata)
  values ($1, $2, $3, case when $3 ~ '^[0-9a-f-]{36}$' then $3::uuid end, $4, $5, $6)`;
const STATEMENTS: Record<Mode, string> = {
  insert: INSERT,
  upsert: `${INSERT} on conflict (bucket_id, name) do update
     set owner_id = excluded.owner_id, owner = excluded.owner, version = excluded.version,
         metadata = excluded.metadata, user_metadata = excluded.user_metadata`,
  update: `update storage.objects
     set owner_id = $3, owner = case when $3 ~ '^[0-9a-f-]{36}$' then $3::uuid end, version = $4, metadata = $5,
         user_metadata = $6
   where bucket_id = $1 and name = $2`,
};

function objectMetadata({ mimeType, cacheControl }: Upload, { size, eTag }: Stored): object {
  const lastModified = new Date().toISOString();
  return { eTag, size, mimetype: mimeType, cacheControl, lastModified, contentLength: size, httpStatusCode: 200 };
}

/** DELETE /object/{bucket} with `{"prefixes": [names]}`: answers with the rows that the caller could delete. */
export async function removeMany(context: StorageContext, request: Request, bucket: string): Promise<Response> {
  const caller = await context.callers.of(request);
  const { prefixes } = await readBody(request, removeSchema);
  await findBucket(context.pool, bucket);
  return Response.json(await remove(context, caller, bucket, prefixes));
}

/** DELETE /object/{bucket}/{path}. */
export async function removeOne(context: StorageContext, request: Request): Promise<Response> {
  const caller = await context.callers.of(request);
  const { bucket, name } = addressIn(request, '/object/');
  const removed = await remove(context, caller, bucket, [validKey(name)]);
  if (removed.length === 0) throw noSuchKey();
  return Response.json({ message: 'Successfully deleted' });
}

async function remove(context: StorageContext, caller: Caller, bucket: string, names: string[]) {
  const removed = await asCaller(context.pool, caller, async (tx) => {
    const result = await tx.query(
      `delete from storage.objects where bucket_id = $1 and name = any ($2)
       returning name, bucket_id, owner, owner_id, version, id, updated_at, created_at, last_accessed_at, metadata,
                 user_metadata`,
      [bucket, names],
    );
    return result.rows;
  });
  await context.files.remove(removed.map(({ version }) => version));
  return removed;
}
