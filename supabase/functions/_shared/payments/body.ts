/** A webhook's body, with every byte as it was signed. */
import { invalidRequest } from '../errors.ts';

/** Bodies above this are refused, bytes. Events are some KiB. */
const LARGEST_BODY = 1024 * 1024;

/** The body of a webhook: the bytes that are signed, and the text that they are. */
export interface WebhookBody {
  bytes: Uint8Array<ArrayBuffer>;
  text: string;
}

/**
 * Reads a body piece by piece, no further than 1 MiB: what `content-length` says need not be true.
 * Throws 400 `invalid_request` for a larger one, and for one that is no UTF-8.
 */
export async function readBody(request: Request): Promise<WebhookBody> {
  const bytes = await readBytes(request);
  try {
    // A byte order mark is kept: the text has to be the bytes that are signed.
    return { bytes, text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    throw invalidRequest('The body is not UTF-8.');
  }
}

async function readBytes(request: Request): Promise<Uint8Array<ArrayBuffer>> {
  if (Number(request.headers.get('content-length')) > LARGEST_BODY) throw tooLarge();
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of piecesOf(request)) {
    length += piece.length;
    if (length > LARGEST_BODY) throw tooLarge();
    pieces.push(piece);
  }
  return joined(pieces, length);
}

async function* piecesOf(request: Request): AsyncGenerator<Uint8Array> {
  if (!request.body) return;
  try {
    yield* request.body;
  } catch {
    throw invalidRequest('The body could not be read.');
  }
}

function joined(pieces: Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function tooLarge() {
  return invalidRequest(`The body is larger than ${LARGEST_BODY / 1024 / 1024} MiB.`);
}
