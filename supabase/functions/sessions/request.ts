/** What callers may send, parsed once at the door; and the ids in paths. */
import { z } from 'zod';
import { readBody } from '../_shared/body.ts';
import { invalidRequest } from '../_shared/errors.ts';
import { cleanJson, parseJson } from '../_shared/json.ts';
import { isUuid, toStorable } from '../_shared/text.ts';
import { names } from '../ai/fields.ts';
import { parseRequest, type RequestShape } from '../ai/request.ts';

/** Bodies above this are refused, MiB. */
const LARGEST_BODY = 10;
/** A segment is what was said since the last one: a minute is about 1,000 characters. */
const LONGEST_SEGMENT = 20_000;
/** About 30 hours of speech. */
const LONGEST_TRANSCRIPT = 2_000_000;
const LONGEST_SPAN = 86_400;
const LARGEST_METADATA = 8_192;
/** Postgres takes every time in between, and no session was or will be outside. */
const [EARLIEST, LATEST] = [Date.UTC(2000, 0), Date.UTC(2200, 0)];

const text = (most: number) =>
  z
    .string()
    .refine((value) => value.length <= most, `it has more than ${most} characters`)
    .transform(toStorable);
const said = (most: number) => text(most).refine((value) => value.trim() !== '', 'it has no text');
const time = z.iso
  .datetime({ offset: true, error: 'it must be a time as ISO 8601 has it, such as 2026-11-01T10:00:00Z' })
  .refine((value) => Date.parse(value) >= EARLIEST && Date.parse(value) < LATEST, 'it must be between 2000 and 2200')
  .transform((value) => new Date(value).toISOString());
/** A time by a client's clock, which may be off: as far from now as SQL takes it. */
const timeWithin = (days: number) =>
  time.refine(
    (value) => Math.abs(Date.parse(value) - Date.now()) < days * 86_400_000,
    `it must be within ${days === 1 ? 'a day' : `${days} days`} of now`,
  );

const start = {
  client_id: said(200).nullish(),
  mode: said(63).nullish(),
  policy: z.enum(['soft', 'hard']).nullish(),
  started_at: timeWithin(1).nullish(),
  metadata: z
    .record(z.string(), z.json())
    .transform((value) => cleanJson(value, toStorable) as Record<string, unknown>)
    .refine(
      (value) => JSON.stringify(value).length <= LARGEST_METADATA,
      `it has more than ${LARGEST_METADATA} characters`,
    )
    .nullish(),
};
const analysis = {
  sequence: z.int().min(1).max(2_147_483_647),
  transcript_segment: said(LONGEST_SEGMENT),
  duration_seconds: z.number().min(0).max(LONGEST_SPAN),
  started_at: timeWithin(3).nullish(),
  model: said(200).nullish(),
};
const completion = { full_transcript: text(LONGEST_TRANSCRIPT).nullish(), ended_at: time.nullish() };
const failure = { error_message: text(1_000).nullish() };

/** How the body of each request is read. */
export const shapes = {
  start: shape(start),
  analysis: shape(analysis),
  completion: shape(completion),
  failure: shape(failure),
  nothing: shape({}),
};

/** A segment to analyse. */
export type AnalysisRequest = z.infer<z.ZodObject<typeof analysis>>;

function shape<T extends z.ZodRawShape>(fields: T): RequestShape<z.infer<z.ZodObject<T>>> {
  return { fields: names(...Object.keys(fields)), schema: z.object(fields) as z.ZodType<z.infer<z.ZodObject<T>>> };
}

/** Reads a body; an empty one is an empty object. Throws 400 `invalid_request` that names the field. */
export async function readFields<T>(http: Request, wanted: RequestShape<T>): Promise<T> {
  const { text: body } = await readBody(http, LARGEST_BODY);
  const { request, fields } = parseRequest(body.trim() === '' ? {} : parseJson(body), wanted);
  const [unknown] = fields.values();
  if (unknown !== undefined) throw invalidRequest(`The field ${JSON.stringify(unknown)} is not supported.`, unknown);
  return request;
}

/** A session's id. Throws 400 `invalid_request` for what is none. */
export function readId(id: string): string {
  if (isUuid(id)) return id.toLowerCase();
  throw invalidRequest('The id of a session must be a UUID.', 'id');
}
