/** Buckets: what they limit, and the calls that make and show them. */
import type pg from 'pg';
import type { StorageContext } from './app.ts';
import { asCaller } from './database.ts';
import { noSuchBucket } from './errors.ts';
import { bucketIn, bucketSchema, readBody } from './input.ts';

const COLUMNS = 'id, name, owner, public, type, file_size_limit, allowed_mime_types, created_at, updated_at';

/** What Storage itself needs to know of a bucket. */
export type Bucket = { public: boolean; file_size_limit: string | null; allowed_mime_types: string[] | null };

/** Finds a bucket, whoever asks. Throws 404 where there is none. */
export async function findBucket(pool: pg.Pool, id: string): Promise<Bucket> {
  const found = await pool.query<Bucket>(`select ${COLUMNS} from storage.buckets where id = $1`, [id]);
  if (!found.rows[0]) throw noSuchBucket();
  return found.rows[0];
}

/** GET /bucket: those that the caller may see. */
export async function listBuckets({ pool, callers }: StorageContext, request: Request): Promise<Response> {
  const caller = await callers.of(request);
  const rows = await asCaller(pool, caller, async (tx) => {
    return (await tx.query(`select ${COLUMNS} from storage.buckets order by name`)).rows;
  });
  return Response.json(rows.map(bucketObject));
}

/** GET /bucket/{id}. */
export async function getBucket({ pool, callers }: StorageContext, request: Request): Promise<Response> {
  const caller = await callers.of(request);
  const id = bucketIn(request, '/bucket/');
  const [row] = await asCaller(pool, caller, async (tx) => {
    return (await tx.query(`select ${COLUMNS} from storage.buckets where id = $1`, [id])).rows;
  });
  if (!row) throw noSuchBucket();
  return Response.json(bucketObject(row));
}

/** POST /bucket: who may is for the policies of storage.buckets to say, of which a new project has none. */
export async function createBucket({ pool, callers }: StorageContext, request: Request): Promise<Response> {
  const caller = await callers.of(request);
  const body = await readBody(request, bucketSchema);
  const id = body.id ?? body.name;
  await asCaller(pool, caller, (tx) =>
    tx.query(
      `insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values ($1, $2, $3, $4, $5)`,
      [id, body.name, body.public, body.file_size_limit ?? null, body.allowed_mime_types ?? null],
    ),
  );
  return Response.json({ name: id });
}

function bucketObject(row: Record<string, unknown>): object {
  const limit = row.file_size_limit;
  return { ...row, owner: row.owner ?? '', file_size_limit: limit === null ? null : Number(limit) };
}
