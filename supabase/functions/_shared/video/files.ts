/** Finished files: copied from the provider to our bucket as they come, and shown by signed addresses. */
import { lookup } from 'node:dns/promises';
import { database } from '../database.ts';
import { keepAlive } from '../edge-runtime.ts';
import { readAiBaseUrl, readApiKey } from '../env.ts';
import { ApiError } from '../errors.ts';
import { inTime } from '../in-time.ts';
import { limitFile } from './byte-limit.ts';
import { callRpc, type JobWork, type Submission, type VideoJob } from './database.ts';
import { FileRefusedError, openFile, type Tools } from './guarded-fetch.ts';
import { type HostRule, isListed, readHostRules, ruleOfUrl } from './hosts.ts';
import { checkPassed, passedHeaders, readRange } from './passed-file.ts';
import { baseUrlOf } from './provider.ts';
import { isFinalRefusal } from './storage-errors.ts';

const BUCKET = 'videos';
/** How long a signed address works unless it takes the place of an older link, s. */
const SIGNED_FOR = 3600;
/** The longest silence of a file's host, ms. */
const LONGEST_SILENCE = 20_000;
/** How long one copy may take, ms: a hosted function ends after 150 s. */
const LONGEST_COPY = 120_000;

const tools: Tools = {
  fetch: (url, init) => fetch(url, init),
  resolve: async (hostname) => (await lookup(hostname, { all: true })).map(({ address }) => address),
};

/**
 * Copies a job's file to `<workspace>/<job>.mp4` and notes it, or notes that it stays with the provider: there is no
 * Storage, or the file may not be fetched. Throws, and notes why, where it may work another time.
 */
export async function copyFile({ job, submission }: JobWork): Promise<void> {
  const { result_url } = job.task;
  if (!result_url) return;
  const { storage_path } = submission;
  const video_job_id = job.id;
  try {
    await transfer(result_url, storage_path, submission);
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown.message : String(thrown);
    const is_kept = thrown instanceof FileRefusedError;
    await callRpc('note_video_file', { video_job_id, is_kept, error });
    if (!is_kept) throw thrown;
    console.error(`video job ${job.id}: its file stays with the provider: ${error}`);
    return;
  }
  try {
    await callRpc('note_video_file', { video_job_id, storage_path });
  } catch (error) {
    // The job went while its file came.
    if (error instanceof ApiError && error.status === 404) await removeFile(BUCKET, storage_path);
    else throw error;
  }
}

/** The same in the background; what fails is tried again by the sweep. */
export function copyLater(work: JobWork): void {
  keepAlive(copyFile(work).catch((error) => console.error(`video job ${work.job.id}: its file did not come:`, error)));
}

async function transfer(address: string, path: string, submission: Submission): Promise<void> {
  const deadline = Date.now() + LONGEST_COPY;
  const mostBytes = submission.max_video_bytes;
  const response = await open(address, submission, (found) => checkHeaders(found, mostBytes));
  const file = limitFile(response, mostBytes, LONGEST_SILENCE, deadline);
  const options = { contentType: 'video/mp4', upsert: true, duplex: 'half' };
  const { error } = await database.storage.from(BUCKET).upload(path, file.stream, options);
  const failure = file.failure();
  if (failure) throw failure;
  if (error) throw isFinalRefusal(error) ? new FileRefusedError(`Storage does not take it: ${error.message}`) : error;
}

/** Opens a file at its provider, unless `check` throws. */
async function open(
  address: string,
  submission: Submission,
  check: (response: Response) => void,
  range?: string,
): Promise<Response> {
  const [rules, key] = [rulesFor(submission), keyFor(submission)];
  const response = await inTime(LONGEST_SILENCE, (signal) => openFile(address, rules, key, tools, signal, range));
  try {
    check(response);
  } catch (error) {
    await response.body?.cancel();
    throw error;
  }
  return response;
}

/**
 * Answers with a file that has no copy, as its provider sends it: nobody is told where that is. What is at a host that is
 * not on the provider's row can only be read there, and its address is told.
 */
export async function passFile({ job, submission }: JobWork, http: Request): Promise<Response> {
  const { result_url } = job.task;
  if (!result_url) throw new ApiError(404, 'not_found', 'There is no such file.');
  if (isElsewhere(result_url, submission)) return Response.redirect(result_url, 302);
  const mostBytes = submission.max_video_bytes;
  const range = readRange(http.headers.get('range'), mostBytes);
  const check = (found: Response) => {
    checkPassed(found, range);
    checkType(found);
    if (http.method === 'HEAD' || lengthOf(found) <= mostBytes) return;
    const words = `This is more than ${mostBytes} bytes: ask for smaller parts of the file by the header Range.`;
    throw new ApiError(502, 'upstream_error', words);
  };
  const response = await open(result_url, submission, check, range).catch((error: unknown) => {
    console.error(`video job ${job.id}: its file could not be read at the provider:`, error);
    if (error instanceof ApiError) throw error;
    throw new ApiError(502, 'upstream_error', 'The file could not be read at the video provider.');
  });
  const init = { status: response.status, headers: passedHeaders(response, job.id) };
  if (http.method !== 'HEAD') {
    return new Response(limitFile(response, mostBytes, LONGEST_SILENCE, Infinity).stream, init);
  }
  await response.body?.cancel();
  return new Response(null, init);
}

/** Whether a file is at a host that nothing is fetched from. What lies behind a key or password is for nobody else. */
function isElsewhere(address: string, submission: Submission): boolean {
  if (submission.api === 'openai' || !URL.canParse(address)) return false;
  const url = new URL(address);
  return url.username === '' && url.password === '' && !isListed(url, rulesFor(submission));
}

function checkHeaders(response: Response, mostBytes: number): void {
  checkType(response);
  if (response.status === 206) throw new Error('a part of the file came, which nobody asked for');
  if (lengthOf(response) > mostBytes) throw new FileRefusedError(`the file is larger than ${mostBytes} bytes`);
}

/** What a host says that it sends; 0 where it does not say. */
function lengthOf({ headers }: Response): number {
  return Number(headers.get('content-length')) || 0;
}

function checkType(response: Response): void {
  if (response.status !== 200 && response.status !== 206)
    throw new Error(`the file's host answered ${response.status}`);
  const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (!/^video\/|^(application|binary)\/octet-stream$/.test(type)) throw new FileRefusedError(`the file is ${type}`);
  const encoding = response.headers.get('content-encoding')?.trim().toLowerCase() || 'identity';
  // It was asked for as it is, and fetch decodes only what it asks for.
  if (encoding !== 'identity') throw new FileRefusedError(`the file is encoded as ${encoding.slice(0, 50)}`);
}

/** OpenAI's files lie behind the key. It goes nowhere but to the provider's own origin. */
function keyFor(submission: Submission): { origin: string; key: string } | undefined {
  if (submission.api !== 'openai') return undefined;
  const { origin } = new URL(baseUrlOf(submission, Deno.env));
  return { origin, key: readApiKey(Deno.env, submission.api_key_env) };
}

function rulesFor(submission: Submission): HostRule[] {
  const rules = readHostRules(submission.result_hosts, readAiBaseUrl(Deno.env));
  // Where the API itself serves the files, its base URL is the operator's word.
  return submission.api === 'openai' ? [...rules, ruleOfUrl(new URL(baseUrlOf(submission, Deno.env)))] : rules;
}

/** An address under which a stored file can be read for so many seconds; undefined where Storage gives none. */
export async function signedUrlOf(
  { id, storage_path }: Pick<VideoJob, 'id' | 'storage_path'>,
  seconds = SIGNED_FOR,
): Promise<string | undefined> {
  if (!storage_path) return undefined;
  const { data, error } = await database.storage.from(BUCKET).createSignedUrl(storage_path, seconds);
  if (error) console.error(`video job ${id}: its file cannot be signed:`, error.message);
  return data?.signedUrl;
}

/** Removes a file; one that is not there is fine, and so is no Storage. Throws where it may work another time. */
export async function removeFile(bucket: string, path: string): Promise<void> {
  const { error } = await database.storage.from(bucket).remove([path]);
  if (error && !isFinalRefusal(error)) throw error;
}
