/** `POST /v1/images/generations`. */
import { objectsIn } from './answer.ts';
import type { Endpoint } from './endpoint.ts';
import { textInput } from './input.ts';
import { type ImagesRequest, imagesRequest } from './request.ts';

/** Images from a prompt. */
export const images: Endpoint<ImagesRequest> = {
  path: '/images/generations',
  shape: imagesRequest,
  inputOf: ({ prompt, negative_prompt }) => textInput([prompt, negative_prompt ?? '']),
  worstCase: ({ n }) => ({ endpoint: 'image_generation', choices: n ?? 1, images: n ?? 1 }),
  upstreamBody: (request, candidate) => ({ ...request, model: candidate.upstream_model }),
  promptOf: ({ prompt }) => prompt,
  isBulky: true,
  read({ data }) {
    if (!Array.isArray(data)) return undefined;
    const made = objectsIn(data).filter(({ url, b64_json, b64 }) => url || b64_json || b64);
    return { output: '', images: made.length, isEmpty: made.length === 0 };
  },
};
