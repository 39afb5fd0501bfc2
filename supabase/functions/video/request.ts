/** What callers may send for a job, as JSON or as a form, parsed once at the door. What the model takes is SQL's to say. */
import { z } from 'zod';
import { readBody, readBytes } from '../_shared/body.ts';
import { invalidRequest } from '../_shared/errors.ts';
import { sha256 } from '../_shared/hash.ts';
import { parseJson } from '../_shared/json.ts';
import { toStorable } from '../_shared/text.ts';
import { isPublicName } from '../_shared/video/hosts.ts';
import { type ImageType, imageTypeOf } from './image-type.ts';

/** The largest picture, MiB, and the largest body: in base64 it is a third longer. */
const LARGEST_IMAGE = 10;
const LARGEST_BODY = 15;
const FORM = 'multipart/form-data';

const seconds = z.int().min(1).max(3600);

/** A job to make. Members we do not know are refused: a misspelled one would be paid for. */
const videoRequest = z.strictObject({
  model: z.string().min(1).max(200),
  prompt: z.string().min(1).max(20_000),
  image: z.string().min(1).nullish(),
  duration: seconds.nullish(),
  resolution: z.string().min(1).max(50).nullish(),
  aspect_ratio: z.string().min(1).max(50).nullish(),
  negative_prompt: z.string().min(1).max(20_000).nullish(),
});

/** A parsed request. */
export interface JobRequest {
  model: string;
  prompt: string;
  /** An https URL, or a data URL. */
  image?: string;
  duration?: number;
  resolution?: string;
  aspect_ratio?: string;
  negative_prompt?: string;
}

/** Reads a request's body. `identity` is the same for the same request, however it was sent. Throws 400. */
export async function readJobRequest(http: Request): Promise<{ request: JobRequest; identity: string }> {
  const type = http.headers.get('content-type') ?? '';
  const body = type.toLowerCase().startsWith(FORM) ? await readForm(http, type) : await readJson(http);
  const parsed = videoRequest.safeParse(body);
  if (!parsed.success) throw notValid(parsed.error.issues[0]);
  const { image, ...rest } = parsed.data;
  const request: JobRequest = { ...cleaned(rest), ...(image ? { image: checkImage(image) } : {}) };
  return { request, identity: identityOf(request) };
}

async function readJson(http: Request): Promise<unknown> {
  return parseJson((await readBody(http, LARGEST_BODY)).text);
}

/** A form as the JSON would be: its file as a data URL, its duration as a number. */
async function readForm(http: Request, type: string): Promise<unknown> {
  const bytes = await readBytes(http, LARGEST_BODY);
  if (!isWhole(bytes, type)) throw invalidRequest('The form is cut off: its last boundary is missing.');
  const form = await new Response(bytes, { headers: { 'content-type': type } }).formData().catch(() => {
    throw invalidRequest('The body is not a form as its content-type says.');
  });
  const body: Record<string, unknown> = {};
  for (const [name, value] of form) {
    // What a browser sends of a file field that was left empty.
    if (typeof value !== 'string' && value.size === 0 && value.name === '') continue;
    if (Object.hasOwn(body, name)) throw invalidRequest(`${name} is there twice.`, name);
    if (typeof value !== 'string' && name !== 'image') throw invalidRequest(`${name} must be text.`, name);
    body[name] =
      typeof value === 'string' ? readField(name, value) : dataUrlOf(new Uint8Array(await value.arrayBuffer()));
  }
  return body;
}

/** Whether a form ends with its last boundary. Parsers take one without it, and a picture would be half. */
function isWhole(bytes: Uint8Array, type: string): boolean {
  const [, quoted, plain] = type.match(/boundary=(?:"([^"]+)"|([^;\s]+))/i) ?? [];
  const end = new TextDecoder('latin1').decode(bytes.subarray(-1000));
  return `\n${end}`.includes(`\n--${quoted ?? plain}--`);
}

function readField(name: string, value: string): unknown {
  return name === 'duration' && /^\d{1,6}$/.test(value) ? Number(value) : value;
}

function dataUrlOf(bytes: Uint8Array): string {
  const type = checkPicture(bytes);
  let binary = '';
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return `data:${type};base64,${btoa(binary)}`;
}

/** Gives the image as the provider gets it. The address is the provider's to fetch, not ours. */
function checkImage(image: string): string {
  const file = image.match(/^data:([^,]{0,200}),/i);
  if (file) return checkDataUrl(image, file[1] ?? '');
  const url = URL.canParse(image) ? new URL(image) : undefined;
  if (url?.protocol !== 'https:' || image.length > 2000) {
    throw invalidRequest('image must be an https URL of at most 2000 characters, or a data URL of a picture.', 'image');
  }
  if (url.username || url.password) throw invalidRequest('image must not have a password in its address.', 'image');
  if (!isPublicName(url.hostname)) throw invalidRequest('image must be at a public address.', 'image');
  return url.href;
}

function checkDataUrl(image: string, head: string): string {
  if (!/;base64$/i.test(head)) throw invalidRequest('A data URL of an image must be in base64.', 'image');
  const base64 = image.slice(image.indexOf(',') + 1);
  let binary: string;
  try {
    binary = atob(base64);
  } catch {
    throw invalidRequest('image is not valid base64.', 'image');
  }
  // The type is what the bytes are, whatever the URL says. Of all of them as numbers, ten million would take their toll.
  const first = Uint8Array.from(binary.slice(0, 16), (character) => character.charCodeAt(0));
  return `data:${checkPicture(first, binary.length)};base64,${base64}`;
}

function checkPicture(bytes: Uint8Array, length = bytes.length): ImageType {
  const mebibytes = length / 1024 / 1024;
  if (mebibytes > LARGEST_IMAGE) throw invalidRequest(`image is larger than ${LARGEST_IMAGE} MiB.`, 'image');
  const type = imageTypeOf(bytes);
  if (!type) throw invalidRequest('image must be a PNG, JPEG or WebP file.', 'image');
  return type;
}

function identityOf({ image, ...rest }: JobRequest): string {
  const fields = Object.entries(rest).sort(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify([fields, image ? sha256(image) : null]);
}

/** Without what is null, and with texts that the database can hold. */
function cleaned<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], null> } {
  const entries = Object.entries(object).filter(([, value]) => value !== null && value !== undefined);
  const clean = entries.map(([name, value]) => [name, typeof value === 'string' ? toStorable(value) : value]);
  return Object.fromEntries(clean) as { [K in keyof T]: Exclude<T[K], null> };
}

function notValid(issue: z.core.$ZodIssue | undefined) {
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const param = issue?.path.join('.') || unknown || null;
  return invalidRequest(`${param ?? 'The body'} is not valid: ${issue?.message ?? 'it does not fit'}.`, param);
}
