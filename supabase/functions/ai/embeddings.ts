/** `POST /v1/embeddings`. */
import { type Loose, objectsIn } from './answer.ts';
import type { Endpoint } from './endpoint.ts';
import { textInput } from './input.ts';
import { type EmbeddingsRequest, embeddingsRequest } from './request.ts';

/** Embeddings, as floats or base64. */
export const embeddings: Endpoint<EmbeddingsRequest> = {
  path: '/embeddings',
  shape: embeddingsRequest,
  inputOf: ({ input }) => textInput(input),
  worstCase({ input }) {
    const ids = tokenIdsOf(input);
    return { endpoint: 'embedding', max_output_tokens: 0, ...(ids !== undefined && { input_tokens: ids }) };
  },
  upstreamBody: (request, candidate) => ({ ...request, model: candidate.upstream_model }),
  isBulky: true,
  read({ data }, { input }) {
    if (!Array.isArray(data)) return undefined;
    const ids = tokenIdsOf(input);
    return {
      output: '',
      isEmpty: objectsIn(data).length === 0,
      input: ids === undefined ? undefined : { tokens: ids, isCounted: true },
    };
  },
  convert(outline, answer, request) {
    const format = request.encoding_format ?? 'float';
    if (!objectsIn(outline.data).some((item) => isEncoded(item, format))) return undefined;
    const whole = answer();
    return whole && { ...whole, data: objectsIn(whole.data).map((item) => encoded(item, format)) };
  },
};

/** How many token ids an input is; undefined where it is text. */
function tokenIdsOf(input: EmbeddingsRequest['input']): number | undefined {
  if (typeof input === 'string' || typeof input[0] === 'string') return undefined;
  return (input as (number | number[])[]).reduce<number>(
    (sum, item) => sum + (Array.isArray(item) ? item.length : 1),
    0,
  );
}

/** Whether an embedding has another encoding than was asked for: clients cannot read it, and some providers know only one. */
function isEncoded({ embedding }: Loose, format: 'float' | 'base64'): boolean {
  return format === 'base64' ? Array.isArray(embedding) : typeof embedding === 'string';
}

function encoded(item: Loose, format: 'float' | 'base64'): Loose {
  const { embedding } = item;
  if (!isEncoded(item, format)) return item;
  return { ...item, embedding: Array.isArray(embedding) ? toBase64(embedding) : fromBase64(String(embedding)) };
}

/** Little-endian float32, as OpenAI's clients read it. */
function toBase64(numbers: number[]): string {
  const view = new DataView(new ArrayBuffer(numbers.length * 4));
  for (const [index, number] of numbers.entries()) view.setFloat32(index * 4, number, true);
  return btoa(Array.from(new Uint8Array(view.buffer), (byte) => String.fromCharCode(byte)).join(''));
}

function fromBase64(text: string): number[] {
  const view = new DataView(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);
  return Array.from({ length: Math.floor(view.byteLength / 4) }, (_, index) => view.getFloat32(index * 4, true));
}
