/**
 * Function `video-webhook`: where providers of videos ring. What they send is not signed, so it is not believed: the task is
 * asked for at the provider. Who rings is known by the token in the address.
 */
import { z } from 'zod';
import { readBody } from '../_shared/body.ts';
import { ApiError, errorResponse } from '../_shared/errors.ts';
import { inTime, TimeoutError } from '../_shared/in-time.ts';
import { parseJson } from '../_shared/json.ts';
import { serve } from '../_shared/origin.ts';
import { callRpc, isOver } from '../_shared/video/database.ts';
import { isObject, readTaskId } from '../_shared/video/provider.ts';
import { syncJob } from '../_shared/video/sync.ts';

/** Bodies above this are refused, MiB. */
const LARGEST_BODY = 1;
/** How long a body may take, ms. */
const LONGEST_BODY = 10_000;

async function receive(request: Request): Promise<Response> {
  const path = new URL(request.url).pathname.match(/^\/video-webhook\/([^/]+)\/([^/]+)\/?$/);
  const [, video_job_id = '', token = ''] = path ?? [];
  if (!z.guid().safeParse(video_job_id).success || !/^[0-9a-f]{64}$/.test(token)) throw notFound();
  if (request.method !== 'POST') {
    throw new ApiError(405, 'invalid_request', 'A webhook takes POST alone.', null, { allow: 'POST' });
  }
  const work = await callRpc('video_job_of_webhook', { video_job_id, token });
  const { text } = await inTime(LONGEST_BODY, () => readBody(request, LARGEST_BODY)).catch((error) => {
    if (!(error instanceof TimeoutError)) throw error;
    throw new ApiError(408, 'invalid_request', 'The body did not come in time.');
  });
  if (isOver(work.job)) return received();
  const { told } = await syncJob(work, work.job.status === 'pending' ? readTask(text) : undefined);
  // Only this delivery has the task's id: it has to come again. A job that knows its task is polled in any case.
  if (!told && work.job.status === 'pending') {
    throw new ApiError(503, 'unavailable', 'The provider could not be asked. Deliver it again.', null, {
      'retry-after': '5',
    });
  }
  return received();
}

/** The task that a delivery is about. Throws 400 where it names none. */
function readTask(text: string): string {
  const body = parseJson(text);
  const id = isObject(body) ? readTaskId(body.task_id ?? body.id) : undefined;
  if (id === undefined) throw new ApiError(400, 'invalid_request', 'The body names no task.', 'task_id');
  return id;
}

function received(): Response {
  return Response.json({ received: true });
}

function notFound(): ApiError {
  return new ApiError(404, 'not_found', 'There is no such webhook.');
}

export default {
  async fetch(request: Request): Promise<Response> {
    const requestId = `req_${crypto.randomUUID().replaceAll('-', '')}`;
    const received = serve(request, requestId, () => receive(request));
    const response = await received.catch((thrown) => errorResponse(thrown, requestId));
    response.headers.set('x-request-id', requestId);
    return response;
  },
};
