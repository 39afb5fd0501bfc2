/** Hashes of texts. */
import { createHash } from 'node:crypto';

/** The SHA-256 of a text's UTF-8 bytes, in hex. At once: waiting for another thread takes longer than a short text does. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
