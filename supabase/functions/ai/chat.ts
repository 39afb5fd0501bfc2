/** `POST /v1/chat/completions`. */
import { limitOutput } from './call.ts';
import type { Endpoint } from './endpoint.ts';
import { chatInput } from './input.ts';
import { relay } from './relay.ts';
import { type ChatRequest, chatRequest } from './request.ts';
import { readUsage } from './usage.ts';

/** Chat completions, streamed or whole. */
export const chat: Endpoint<ChatRequest> = {
  path: '/chat/completions',
  shape: chatRequest,
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
  read({ choices, usage }) {
    if (!Array.isArray(choices)) return undefined;
    const messages = choices.map((choice) => (choice as { message?: Message }).message ?? {});
    const texts = messages.map(textOf);
    return { usage: readUsage(usage), output: texts.join(''), isEmpty: texts.join('') === '' };
  },
  relay: (call, request, answer) => (request.stream ? relay(call, request, answer) : undefined),
};

interface Message {
  content?: unknown;
  reasoning_content?: unknown;
  reasoning?: unknown;
  refusal?: unknown;
  tool_calls?: { function?: { name?: string; arguments?: string } }[];
}

/** All that a model wrote in a message. */
function textOf({
  content,
  reasoning_content,
  reasoning = reasoning_content,
  refusal,
  tool_calls = [],
}: Message): string {
  const texts = [content, reasoning, refusal].filter((text) => typeof text === 'string');
  const calls = tool_calls.map(({ function: called }) => `${called?.name ?? ''}${called?.arguments ?? ''}`);
  return [...texts, ...calls].join('');
}

/** The most output that the caller allows; of two limits the higher, for nobody knows which one the provider heeds. */
function outputLimit({ max_completion_tokens, max_tokens }: ChatRequest): number | undefined {
  return Math.max(max_completion_tokens ?? 0, max_tokens ?? 0) || undefined;
}
