/** `POST /v1/images/generations`. */
import type { Endpoint } from './endpoint.ts';
import { textInput } from './input.ts';
import { type ImagesRequest, imagesRequest } from './request.ts';
import { readUsage } from './usage.ts';

/** Images from a prompt. */
export const images: Endpoint<ImagesRequest> = {
  path: '/images/generations',
  shape: imagesRequest,
  inputOf: ({ prompt, negative_prompt }) => textInput([prompt, negative_prompt ?? '']),
  worstCase: ({ n }) => ({ endpoint: 'image_generation', choices: n ?? 1, images: n ?? 1 }),
  upstreamBody: (request, candidate) => ({ ...request, model: candidate.upstream_model }),
  promptOf: ({ prompt }) => prompt,
  read({ data, usage }) {
    if (!Array.isArray(data)) return undefined;
    return { usage: readUsage(usage), output: '', images: data.length, isEmpty: data.length === 0 };
  },
};
