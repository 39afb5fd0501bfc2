/** GET /files/{task}.mp4: the file of a completed task, or what its directive makes of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, ConnectionCut } from './errors.ts';
import { makeMp4, paddingHeader } from './mp4.ts';
import { FLUSH_MS } from './protocol.ts';
import { standingOf, type VideoTask } from './video-tasks.ts';

const CHUNK = Buffer.alloc(65_536);
const GIGABYTE = 1_000_000_000;
/** Ms between two bytes of a slow file. */
const SLOWNESS = 500;
/** An address that no copier should ask: where clouds tell machines their secrets. */
const INNER_URL = 'http://169.254.169.254/latest/meta-data/';

/** The answer to a request for a task's file. `step` is which of the redirects this is. */
export function fileOf(task: VideoTask | undefined, url: URL): Response {
  if (!task || standingOf(task).status !== 'completed') throw new ApiError(404, 'There is no such file.');
  const video = makeMp4(task.seconds);
  switch (task.directive.file) {
    case 'missing':
      throw new ApiError(404, 'The file is gone.');
    case 'large':
      return streamed(large(video, task.directive.file_bytes ?? GIGABYTE));
    case 'redirect':
      return url.searchParams.has('final')
        ? whole(video)
        : Response.redirect(`${url.origin}${url.pathname}?final`, 302);
    case 'redirect_loop':
      return Response.redirect(`${url.origin}${url.pathname}?${Number(url.search.slice(1)) + 1}`, 302);
    case 'redirect_inner':
      return new Response(null, { status: 302, headers: { location: task.directive.redirect_url ?? INNER_URL } });
    case 'wrong_type':
      return whole(video, 'application/json');
    case 'html':
      return new Response('<!doctype html><p>Not a video.</p>', { headers: { 'content-type': 'text/html' } });
    case 'slow':
      return streamed(slowly(video));
    case 'cut':
      return streamed(cut(video), { 'content-length': String(video.length) });
    default:
      return whole(video);
  }
}

function whole(video: Buffer, type = 'video/mp4'): Response {
  return new Response(new Uint8Array(video), { headers: { 'content-type': type } });
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

/** The video, and after it a box of nothing up to the wanted size. */
async function* large(video: Buffer, size: number): AsyncGenerator<Uint8Array> {
  const padding = size - video.length - 8;
  yield video;
  yield paddingHeader(padding);
  for (let left = padding; left > 0; left -= CHUNK.length) yield CHUNK.subarray(0, Math.min(left, CHUNK.length));
}

async function* slowly(video: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < video.length; at += 1) {
    yield video.subarray(at, at + 1);
    await sleep(SLOWNESS);
  }
}

async function* cut(video: Buffer): AsyncGenerator<Uint8Array> {
  yield video.subarray(0, video.length / 2);
  await sleep(FLUSH_MS);
  throw new ConnectionCut();
}
