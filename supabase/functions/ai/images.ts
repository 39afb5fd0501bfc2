/** `POST /v1/images/generations`. */
import { objectsIn } from './answer.ts';
import type { Endpoint } from './endpoint.ts';
import { type ImagesRequest, imagesRequest } from './request.ts';
import { mostInputTokens } from './usage.ts';

/** Images from a prompt. */
export const images: Endpoint<ImagesRequest> = {
  path: '/images/generations',
  schema: imagesRequest,
  worstCase: ({ prompt, n }) => ({
    endpoint: 'image_generation',
    input_tokens: mostInputTokens({ other: prompt }),
    choices: n ?? 1,
    images: n ?? 1,
  }),
  upstreamBody: (request, candidate) => ({ ...request, model: candidate.upstream_model }),
  promptOf: ({ prompt }) => prompt,
  inputOf: ({ prompt }) => ({ other: prompt }),
  isBulky: true,
  read({ data }) {
    if (!Array.isArray(data)) return undefined;
    const made = objectsIn(data).filter(({ url, b64_json }) => url || b64_json);
    return { output: '', images: made.length, isEmpty: made.length === 0 };
  },
};
