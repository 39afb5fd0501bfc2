/** POST /v1/images/generations: always the same picture of one pixel. */
import { z } from 'zod';
import { ApiError } from './errors.ts';
import { type Endpoint, jsonAnswer, parseWith } from './protocol.ts';
import { countTokens } from './usage.ts';

/** A PNG of one pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
/** What OpenAI's image models count for a square picture of medium quality. */
const TOKENS_PER_IMAGE = 1056;

const imagesSchema = z.looseObject({
  prompt: z.string().min(1),
  n: z.number().int().min(1).max(10).nullish(),
  response_format: z.enum(['url', 'b64_json']).nullish(),
  stream: z.boolean().nullish(),
});

/** Image generation. Its usage speaks of input and output tokens, not of prompt and completion. */
export const imageGenerations: Endpoint = {
  promptOf(body) {
    return parseWith(imagesSchema, body).prompt;
  },

  answer(call) {
    const body = parseWith(imagesSchema, call.body);
    if (body.stream) throw new ApiError(400, 'The simulator does not stream images.', { param: 'stream' });
    const count = body.n ?? 1;
    const picture = body.response_format === 'url' ? { url: `data:image/png;base64,${PIXEL}` } : { b64_json: PIXEL };
    const input = countTokens(body.prompt);
    const output = count * (call.directive.output_tokens ?? TOKENS_PER_IMAGE);
    call.entry.prompt_tokens = input;
    const usage = call.directive.usage === undefined ? imageUsage(input, output) : call.directive.usage;
    const created = Math.floor(Date.parse(call.entry.received_at) / 1000);
    const data = Array.from({ length: call.directive.empty ? 0 : count }, () => picture);
    return jsonAnswer(call, { created, data, ...(usage === null ? {} : { usage }) }, output);
  },
};

function imageUsage(input: number, output: number): object {
  return {
    input_tokens: input,
    output_tokens: output,
    total_tokens: input + output,
    input_tokens_details: { text_tokens: input, image_tokens: 0 },
    output_tokens_details: { text_tokens: 0, image_tokens: output },
  };
}
