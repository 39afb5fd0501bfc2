/** POST /v1/embeddings: vectors made from a hash of the input, so that equal inputs have equal vectors. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Endpoint, jsonAnswer, parseWith } from './protocol.ts';
import { countTokens } from './usage.ts';

const DEFAULT_DIMENSIONS = 1536;

const tokenList = z.array(z.number().int().min(0)).min(1);
const embeddingsSchema = z.looseObject({
  input: z.union([
    z.string().min(1),
    z.array(z.string().min(1)).min(1).max(2048),
    tokenList,
    z.array(tokenList).min(1),
  ]),
  dimensions: z.number().int().min(1).max(8192).nullish(),
  encoding_format: z.enum(['float', 'base64']).nullish(),
});
type Input = z.infer<typeof embeddingsSchema>['input'];

/** Embeddings. A directive stands in the last input text. */
export const embeddings: Endpoint = {
  promptOf(body) {
    const last = inputsOf(parseWith(embeddingsSchema, body).input).at(-1);
    return typeof last === 'string' ? last : '';
  },

  answer(call) {
    const body = parseWith(embeddingsSchema, call.body);
    const inputs = inputsOf(body.input);
    const tokens = inputs.reduce(
      (sum, input) => sum + (typeof input === 'string' ? countTokens(input) : input.length),
      0,
    );
    call.entry.prompt_tokens = tokens;
    const data = inputs.map((input, index) => {
      const vector = vectorOf(JSON.stringify(input), body.dimensions ?? DEFAULT_DIMENSIONS);
      const encoding = call.directive.encoding ?? body.encoding_format;
      const embedding = encoding === 'base64' ? toBase64(vector) : [...vector];
      return { object: 'embedding', index, embedding };
    });
    const counted = { prompt_tokens: tokens, total_tokens: tokens };
    const usage = call.directive.usage === undefined ? counted : call.directive.usage;
    return jsonAnswer(call, { object: 'list', model: call.model, data, ...(usage === null ? {} : { usage }) }, 0);
  },
};

/** One text or one list of token ids is one input; a list of either is many. */
function inputsOf(input: Input): (string | number[])[] {
  if (typeof input === 'string') return [input];
  const ids = input.filter((item) => typeof item === 'number');
  return ids.length > 0 ? [ids] : input.filter((item) => typeof item !== 'number');
}

/** A vector of length 1. */
function vectorOf(seed: string, dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions);
  for (let start = 0, block = 0; start < dimensions; start += 8, block += 1) {
    const hash = createHash('sha256').update(`${block}:${seed}`).digest();
    for (let index = start; index < Math.min(start + 8, dimensions); index += 1) {
      vector[index] = hash.readInt32LE((index - start) * 4) / 2 ** 31;
    }
  }
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

/** Little-endian float32, as OpenAI's clients decode it. */
function toBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, index) => {
    bytes.writeFloatLE(value, index * 4);
  });
  return bytes.toString('base64');
}
