/** A file that is passed on: which part of it a caller may ask for, and what goes along with it. */
import { ApiError } from '../errors.ts';

const BYTES = String.raw`\d{1,15}`;
/** Headers that are passed on with a file, where they are well-formed. */
const PASSED: Record<string, RegExp> = {
  'content-length': new RegExp(`^${BYTES}$`),
  'content-range': new RegExp(`^bytes ${BYTES}-${BYTES}/(${BYTES}|\\*)$`),
  'accept-ranges': /^bytes$/,
};

/**
 * The range that a `Range` header asks for: a single, well-formed one, ended after `most` bytes. Undefined for every other
 * header, which asks for the whole file then: hosts answer several ranges with another kind of body.
 */
export function readRange(header: string | null, most: number): string | undefined {
  const [range, first, last] = header?.match(/^bytes=(?:(\d{1,15})-(\d{1,15})?|-\d{1,15})$/) ?? [];
  if (first === undefined) return range;
  if (last !== undefined && Number(last) < Number(first)) return undefined;
  return `bytes=${first}-${Math.min(Number(last ?? Infinity), Number(first) + most - 1)}`;
}

/**
 * Throws where a host's answer cannot be passed on: an ApiError for the caller where the host has no such part (416), or no
 * such file any more (502), else an Error for the log.
 */
export function checkPassed(response: Response, range: string | undefined): void {
  const { status } = response;
  if (status === 416 && range !== undefined) {
    const size = response.headers.get('content-range') ?? '';
    const isSize = /^bytes \*\/\d{1,15}$/.test(size);
    throw new ApiError(416, 'invalid_request', 'The file has no such part.', 'range', {
      ...(isSize ? { 'content-range': size } : {}),
    });
  }
  if (status === 404 || status === 410) {
    throw new ApiError(502, 'upstream_error', 'The file is no longer at the video provider.');
  }
  if (status === 206 && (range === undefined || wellFormed(response, 'content-range') === undefined)) {
    throw new Error('a part of the file came that cannot be used');
  }
}

/** The headers that a file is passed on with: a video, and nothing else whatever its bytes are. */
export function passedHeaders(response: Response, jobId: string): Headers {
  const headers = new Headers({
    'content-type': 'video/mp4',
    'content-disposition': `inline; filename="${jobId}.mp4"`,
    'content-security-policy': "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; sandbox",
    'x-content-type-options': 'nosniff',
  });
  for (const name of Object.keys(PASSED)) {
    const value = wellFormed(response, name);
    if (value !== undefined && (name !== 'content-range' || response.status === 206)) headers.set(name, value);
  }
  return headers;
}

function wellFormed({ headers }: Response, name: string): string | undefined {
  const value = headers.get(name) ?? '';
  return PASSED[name]?.test(value) ? value : undefined;
}
