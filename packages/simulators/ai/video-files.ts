/** GET /files/{task}.mp4: the file of a completed task, or what its directive makes of it. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, ConnectionCut } from './errors.ts';
import { FLUSH_MS } from './protocol.ts';
import { standingOf, type VideoTask } from './video-tasks.ts';

/** Every video: two seconds of H.264, 16 by 16 pixels, a light picture and a dark one. */
export const VIDEO = readFileSync(new URL('./video.mp4', import.meta.url));

const CHUNK = Buffer.alloc(65_536);
const GIGABYTE = 1_000_000_000;
/** Ms between two bytes of a slow file. */
const SLOWNESS = 500;
/** An address that no copier should ask: where clouds tell machines their secrets. */
const INNER_URL = 'http://169.254.169.254/latest/meta-data/';

/** The answer to a request for a task's file. `step` is which of the redirects this is. */
export function fileOf(task: VideoTask | undefined, url: URL): Response {
  if (!task || standingOf(task).status !== 'completed') throw new ApiError(404, 'There is no such file.');
  switch (task.directive.file) {
    case 'missing':
      throw new ApiError(404, 'The file is gone.');
    case 'large':
      return streamed(large(task.directive.file_bytes ?? GIGABYTE));
    case 'redirect':
      return url.searchParams.has('final') ? whole() : Response.redirect(`${url.origin}${url.pathname}?final`, 302);
    case 'redirect_loop':
      return Response.redirect(`${url.origin}${url.pathname}?${Number(url.search.slice(1)) + 1}`, 302);
    case 'redirect_inner':
      return new Response(null, { status: 302, headers: { location: task.directive.redirect_url ?? INNER_URL } });
    case 'wrong_type':
      return whole('application/json');
    case 'html':
      return new Response('<!doctype html><p>Not a video.</p>', { headers: { 'content-type': 'text/html' } });
    case 'slow':
      return streamed(slowly());
    case 'cut':
      return streamed(cut(), { 'content-length': String(VIDEO.length) });
    default:
      return whole();
  }
}

function whole(type = 'video/mp4'): Response {
  return new Response(new Uint8Array(VIDEO), { headers: { 'content-type': type } });
}

/** Without its length, so that only counting tells how long it is. */
function streamed(parts: AsyncGenerator<Uint8Array>, headers: Record<string, string> = {}): Response {
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const part = await parts.next();
        if (part.done) controller.close();
        else controller.enqueue(part.value);
      },
      async cancel() {
        await parts.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(stream, { headers: { 'content-type': 'video/mp4', ...headers } });
}

/** The video, and after it a box that players skip, up to the wanted size. */
async function* large(size: number): AsyncGenerator<Uint8Array> {
  const padding = size - VIDEO.length - 8;
  yield VIDEO;
  const header = Buffer.from('....free');
  header.writeUInt32BE(padding + 8);
  yield header;
  for (let left = padding; left > 0; left -= CHUNK.length) yield CHUNK.subarray(0, Math.min(left, CHUNK.length));
}

async function* slowly(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < VIDEO.length; at += 1) {
    yield VIDEO.subarray(at, at + 1);
    await sleep(SLOWNESS);
  }
}

async function* cut(): AsyncGenerator<Uint8Array> {
  yield VIDEO.subarray(0, VIDEO.length / 2);
  await sleep(FLUSH_MS);
  throw new ConnectionCut();
}
