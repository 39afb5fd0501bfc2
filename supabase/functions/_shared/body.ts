/** Bodies of requests and answers, kept no further than they may be long. */
import { invalidRequest } from './errors.ts';

/** What is read of a body that is too long, bytes: a client that is still sending does not hear the answer. */
const MOST_READ = 64 * 1024 * 1024;
/** The longest answer that is read of a platform that is asked something, bytes: to parse one keeps other requests waiting. */
const LARGEST_ANSWER = 1024 * 1024;

/** A body: its bytes, and the text that they are. */
export interface Body {
  bytes: Uint8Array<ArrayBuffer>;
  text: string;
}

/**
 * Reads a body piece by piece and keeps at most `most` MiB: what `content-length` says need not be true.
 * Throws 400 `invalid_request` for a larger one, and for one that is no UTF-8.
 */
export async function readBody(request: Request, most: number): Promise<Body> {
  const bytes = await readBytes(request, most);
  return { bytes, text: readText(bytes) };
}

function readText(bytes: Uint8Array): string {
  try {
    // A byte order mark is kept: the text has to be the bytes that are signed.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalidRequest('The body is not UTF-8.');
  }
}

/** Reads a body of any kind, as readBody does. */
export async function readBytes(request: Request, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const limit = most * 1024 * 1024;
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = request.body?.getReader();
  const next = () =>
    reader?.read().catch(() => {
      throw invalidRequest('The body could not be read.');
    });
  for (let piece = await next(); piece?.value; piece = await next()) {
    length += piece.value.length;
    if (length <= limit) pieces.push(piece.value);
    if (length <= MOST_READ) continue;
    reader?.cancel().catch(() => undefined);
    break;
  }
  if (length > limit) throw invalidRequest(`The body is larger than ${most} MiB.`);
  return joined(pieces);
}

/** Pieces of bytes as one; a single one is not copied. */
export function joined(pieces: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const [first] = pieces;
  if (first && pieces.length === 1) return first as Uint8Array<ArrayBuffer>;
  const bytes = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** An answer whose body breaks where it is longer than `most` bytes. */
export function bounded(answer: Response, most = LARGEST_ANSWER): Response {
  let length = 0;
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(piece, controller) {
      length += piece.length;
      if (length > most) controller.error(new Error(`an answer of more than ${most / 1024} KiB`));
      else controller.enqueue(piece);
    },
  });
  return new Response(answer.body?.pipeThrough(counter), answer);
}
