/** `POST /v1/embeddings`. */
import type { Endpoint } from './endpoint.ts';
import { textInput } from './input.ts';
import { type EmbeddingsRequest, embeddingsRequest } from './request.ts';
import { readUsage, type Usage } from './usage.ts';

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
  read(answer, request) {
    if (!Array.isArray(answer.data)) return undefined;
    const data = answer.data.map((item) => encoded(item, request.encoding_format ?? 'float'));
    const usage = readUsage(answer.usage) ?? countedTokenIds(request);
    return { usage, output: '', isEmpty: data.length === 0, answer: { ...answer, data } };
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

function countedTokenIds({ input }: EmbeddingsRequest): Usage | undefined {
  const prompt = tokenIdsOf(input);
  return prompt === undefined ? undefined : { prompt, cached: 0, completion: 0, source: 'counted' };
}

/** An embedding in the encoding that was asked for: clients cannot read the other, and some providers know only one. */
function encoded(item: { embedding?: unknown }, format: 'float' | 'base64'): unknown {
  const { embedding } = item;
  if (format === 'base64' && Array.isArray(embedding)) return { ...item, embedding: toBase64(embedding) };
  if (format === 'float' && typeof embedding === 'string') return { ...item, embedding: fromBase64(embedding) };
  return item;
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
