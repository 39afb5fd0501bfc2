/**
 * A stand-in for Supabase Storage, for development alone. It has the endpoints and answers that `supabase-js` needs for
 * files in buckets: upload, update, download, signed URLs, signed uploads, list, info, exists, remove. Who may what is
 * asked of the policies on `storage.objects`, in the caller's own role. It is not Supabase Storage: the bytes lie in a
 * folder of the stack, and there are no image transformations, no resumable uploads, no moving and copying, no S3
 * protocol, no CDN. Deployed projects and `supabase start` use the real one.
 */
import { Hono } from 'hono';
import type pg from 'pg';
import type { StackKeys } from '../keys.ts';
import * as buckets from './buckets.ts';
import { type Callers, createCallers } from './callers.ts';
import * as downloads from './downloads.ts';
import { errorResponse, notSupported } from './errors.ts';
import { Files } from './files.ts';
import { bucketIn } from './input.ts';
import * as uploads from './uploads.ts';

/** What the stand-in runs on. */
export interface StorageAppOptions {
  /** Connections as `supabase_storage_admin`. */
  pool: pg.Pool;
  keys: StackKeys;
  /** Where the files are kept; made when needed. */
  folder: string;
  /** Bytes of the largest file that any bucket takes. */
  fileSizeLimit: number;
}

/** What every handler works with. */
export interface StorageContext {
  pool: pg.Pool;
  callers: Callers;
  files: Files;
  fileSizeLimit: number;
}

/** Endpoints of Supabase Storage that the stand-in lacks, and what they are for. */
const ABSENT_ENDPOINTS: [path: string, feature: string][] = [
  ['/object/move', 'Moving files'],
  ['/object/copy', 'Copying files'],
  ['/object/list-v2/*', 'The second form of listing'],
  ['/upload/*', 'Resumable upload'],
  ['/render/*', 'Image transformation'],
  ['/cdn/*', 'The CDN'],
  ['/s3/*', 'The S3 protocol'],
  ['/iceberg/*', 'The analytics of Storage'],
  ['/vector/*', 'The vectors of Storage'],
];

const STATUS = {
  name: 'local-supabase storage stand-in',
  version: 'development',
  description: 'Stands in for Supabase Storage on a development machine. It is not Supabase Storage; do not deploy it.',
};

/** The stand-in as a fetch handler. Paths come without the `/storage/v1` that the gateway takes off. */
export async function createStorageApp(options: StorageAppOptions): Promise<{
  fetch(request: Request): Response | Promise<Response>;
}> {
  const { pool, fileSizeLimit } = options;
  const context: StorageContext = {
    pool,
    callers: createCallers(options.keys),
    files: new Files(options.folder),
    fileSizeLimit,
  };
  await context.files.tidyUp();
  const app = new Hono();

  app.get('/status', (c) => c.json(STATUS));
  app.get('/bucket', (c) => buckets.listBuckets(context, c.req.raw));
  app.post('/bucket', (c) => buckets.createBucket(context, c.req.raw));
  app.get('/bucket/:id', (c) => buckets.getBucket(context, c.req.raw));

  for (const [path, feature] of ABSENT_ENDPOINTS) {
    app.all(path, () => {
      throw notSupported(feature);
    });
  }

  app.get('/object/sign/*', (c) => downloads.downloadSigned(context, c.req.raw));
  app.post('/object/sign/:bucket', (c) => downloads.signMany(context, c.req.raw, bucketIn(c.req.raw, '/object/sign/')));
  app.post('/object/sign/*', (c) => downloads.sign(context, c.req.raw));
  app.post('/object/list/:bucket', (c) => downloads.list(context, c.req.raw, bucketIn(c.req.raw, '/object/list/')));
  app.get('/object/public/*', (c) => downloads.downloadPublic(context, c.req.raw));
  for (const prefix of ['/object/info/authenticated/', '/object/info/']) {
    app.get(`${prefix}*`, (c) => downloads.info(context, c.req.raw, prefix));
  }
  for (const prefix of ['/object/authenticated/', '/object/']) {
    app.get(`${prefix}*`, (c) => downloads.download(context, c.req.raw, prefix));
  }
  app.delete('/object/:bucket', (c) => uploads.removeMany(context, c.req.raw, bucketIn(c.req.raw, '/object/')));
  app.delete('/object/*', (c) => uploads.removeOne(context, c.req.raw));
  app.post('/object/upload/sign/*', (c) => uploads.signUpload(context, c.req.raw));
  app.put('/object/upload/sign/*', (c) => uploads.uploadSigned(context, c.req.raw));
  app.on(['POST', 'PUT'], '/object/*', (c) => uploads.upload(context, c.req.raw));

  app.notFound((c) => {
    const message = `Route ${c.req.method}:${c.req.path} not found`;
    return c.json({ message, error: 'Not Found', statusCode: 404 }, 404);
  });
  app.onError((error) => errorResponse(error));
  return { fetch: (request) => app.fetch(request) };
}
