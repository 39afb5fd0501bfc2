/** Creem's signatures: HMAC-SHA256 over the raw body, in hex. They have no time, so the same event may come at any. */

/** Whether one of the secrets has made the signature in header `creem-signature`. Compares in constant time. */
export async function isSignedByCreem(
  header: string | null,
  body: Uint8Array<ArrayBuffer>,
  secrets: string[],
): Promise<boolean> {
  const signature = bytesOf(header ?? '');
  if (!signature) return false;
  for (const secret of secrets) {
    if (await crypto.subtle.verify('HMAC', await importKey(secret), signature, body)) return true;
  }
  return false;
}

function importKey(secret: string) {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  return crypto.subtle.importKey('raw', new TextEncoder().encode(secret), algorithm, false, ['verify']);
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[0-9a-f]{64}$/i.test(hex)) return undefined;
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
