/** OpenAI's `/v1/videos`, which other gateways speak. Source: the types of openai-node, `resources/videos`. */
import {
  OutcomeUnknownError,
  type VideoAdapter,
  type VideoAnswer,
  type VideoRequest,
  type VideoTask,
} from './adapter.ts';
import { boundedAnswer, failureOf, type ProviderClient, readProgress, readStatus, readTaskId } from './provider.ts';

/** An OpenAI-compatible gateway; `baseUrl` ends where `/videos` begins. It knows no webhooks. */
export function createOpenAi(client: ProviderClient, baseUrl: string): VideoAdapter {
  const pathOf = (jobId: string) => `/videos/${encodeURIComponent(jobId)}`;
  const contentOf = (jobId: string) => `${baseUrl}${pathOf(jobId)}/content`;
  const read = (body: Record<string, unknown>, jobId?: string): VideoAnswer => {
    const found = readOpenAiTask(body, contentOf, jobId);
    if (!found) throw new OutcomeUnknownError('an answer that is no video');
    return found;
  };
  const fetchTask = async (jobId: string): Promise<VideoAnswer | 'missing'> => {
    const { status, body } = await client.call({ method: 'GET', path: pathOf(jobId) }, [404]);
    return status === 404 ? 'missing' : read(body, jobId);
  };
  return {
    submit: async (request) =>
      read((await client.call({ method: 'POST', path: '/videos', body: formOf(request) })).body),
    fetch: fetchTask,
    async cancel(jobId) {
      // DELETE also takes finished videos away: one that is finished has to stay.
      const found = await fetchTask(jobId);
      if (found === 'missing' || found.task.status !== 'processing') return 'too_late';
      const { status, body } = await client.call({ method: 'DELETE', path: pathOf(jobId) }, [404, 405, 409, 501]);
      if (status === 405 || status === 501) return 'unsupported';
      return status < 300 && body.deleted !== false ? 'canceled' : 'too_late';
    },
  };
}

/** Reads a video; undefined for what is none. `contentOf` tells where its file is. */
export function readOpenAiTask(
  body: Record<string, unknown>,
  contentOf: (jobId: string) => string,
  jobId?: string,
): VideoAnswer | undefined {
  const named = readTaskId(body.id);
  if (typeof body.status !== 'string' || !named || (jobId !== undefined && named !== jobId)) return undefined;
  const task: VideoTask = { job_id: named, ...readStatus(body.status), progress: readProgress(body.progress) };
  if (task.status === 'failed') Object.assign(task, failureOf(body));
  if (task.status === 'completed') Object.assign(task, { progress: 100, result_url: contentOf(named) });
  return { task, answer: boundedAnswer(body) };
}

function formOf({ model, prompt, image, duration, resolution, aspect_ratio, negative_prompt }: VideoRequest): FormData {
  const form = new FormData();
  form.set('model', model);
  form.set('prompt', prompt);
  if (duration !== undefined) form.set('seconds', String(duration));
  const size = sizeOf(resolution, aspect_ratio);
  if (size) form.set('size', size);
  if (negative_prompt) form.set('negative_prompt', negative_prompt);
  if (image?.startsWith('data:')) form.set('input_reference', fileOf(image), 'image');
  else if (image) form.set('input_reference', image);
  return form;
}

/** `720p` and `16:9` are `1280x720`; a resolution that is a size already stays. */
export function sizeOf(resolution: string | undefined, aspectRatio: string | undefined): string | undefined {
  const lines = Number(resolution?.match(/^(\d{3,4})p$/i)?.[1]);
  if (!lines) return resolution;
  const [width = 16, height = 9] = (aspectRatio?.split(':') ?? []).map(Number);
  if (!(width > 0 && height > 0)) return undefined;
  const longer = evenly((lines * Math.max(width, height)) / Math.min(width, height));
  return width >= height ? `${longer}x${lines}` : `${lines}x${longer}`;
}

/** Encoders take even sizes alone. */
function evenly(pixels: number): number {
  return Math.round(pixels / 2) * 2;
}

function fileOf(dataUrl: string): Blob {
  const comma = dataUrl.indexOf(',');
  const type = dataUrl.slice('data:'.length, comma).split(';')[0];
  const binary = atob(dataUrl.slice(comma + 1));
  // Uint8Array.from would first make a list of all characters, which takes thirty times the picture.
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return new Blob([bytes], { type });
}
