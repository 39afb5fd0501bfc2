/** `POST /v1/images/generations`. */
import type { Endpoint } from './endpoint.ts';
import { type ImagesRequest, imagesRequest } from './request.ts';
import { mostInputTokens, readUsage } from './usage.ts';

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
  read({ data, usage }) {
    if (!Array.isArray(data)) return undefined;
    return { usage: readUsage(usage), output: '', images: data.length, isEmpty: data.length === 0 };
  },
};
