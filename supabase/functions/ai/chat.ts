/** `POST /v1/chat/completions`. */
import { finishReasonOf, isLimit, objectsIn, readChoice, textOf } from './answer.ts';
import { limitOutput } from './call.ts';
import type { Endpoint } from './endpoint.ts';
import { chatInput } from './input.ts';
import { chatId } from './names.ts';
import { relay } from './relay.ts';
import { type ChatRequest, chatRequest, mayWriteNothing } from './request.ts';

/** Chat completions, streamed or whole. */
export const chat: Endpoint<ChatRequest> = {
  path: '/chat/completions',
  shape: chatRequest,
  answerId: chatId,
  inputOf: chatInput,
  worstCase: (request) => ({
    endpoint: 'text_chat',
    max_output_tokens: outputLimit(request),
    choices: request.n ?? 1,
    can_lower_output: true,
  }),
  upstreamBody(request, candidate, call) {
    const body = { ...limitOutput(request, call.outputLimit, candidate), model: candidate.upstream_model };
    // Usage even where the client did not ask for it.
    return request.stream ? { ...body, stream_options: { ...request.stream_options, include_usage: true } } : body;
  },
  read({ choices }, request) {
    if (!Array.isArray(choices)) return undefined;
    const written = objectsIn(choices).map(readChoice);
    const output = written.map(textOf).join('');
    return {
      output,
      isEmpty: output === '' && !written.some(({ hasMedia }) => hasMedia),
      mayBeCutShort: mayWriteNothing(request) || objectsIn(choices).map(finishReasonOf).some(isLimit),
    };
  },
  relay: (call, request, answer) => (request.stream ? relay(call, request, answer) : undefined),
};

/** The most output that the caller allows; of two limits the higher, for nobody knows which one the provider heeds. */
function outputLimit({ max_completion_tokens, max_tokens }: ChatRequest): number | undefined {
  return Math.max(max_completion_tokens ?? 0, max_tokens ?? 0) || undefined;
}
