/** Buckets with policies, as a migration would make them, and requests that supabase-js would not send. */
import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { env, sql } from '../support/stack.ts';

/** What a bucket is made with. */
type Options = { limit?: number; mimeTypes?: string[]; isPublic?: boolean };

/**
 * Makes a bucket whose files belong to the user that their first folder names: that user reads and writes them, and nobody
 * else does. Gives its id.
 */
export async function newBucket({ limit, mimeTypes, isPublic = false }: Options = {}): Promise<string> {
  const id = `test-${randomUUID().slice(0, 8)}`;
  await sql(
    'insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values ($1, $1, $2, $3, $4)',
    [id, isPublic, limit ?? null, mimeTypes ?? null],
  );
  await sql(`create policy "${id}: each their own folder" on storage.objects for all to authenticated
    using (bucket_id = '${id}' and (storage.foldername(name))[1] = (select auth.uid())::text)
    with check (bucket_id = '${id}' and (storage.foldername(name))[1] = (select auth.uid())::text)`);
  return id;
}

/** A request to storage with exactly this path, which fetch() would tidy up. */
export function rawRequest(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = '',
): Promise<{ status: number; body: string }> {
  const { hostname, port } = new URL(env.API_URL);
  return new Promise((resolve, reject) => {
    const request = httpRequest({ hostname, port, method, path: `/storage/v1${path}`, headers }, async (response) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      resolve({ status: response.statusCode ?? 0, body: text });
    });
    request.once('error', reject);
    request.end(body);
  });
}
