/** POST /v1/chat/completions, whole or as a stream. */
import { z } from 'zod';
import { ApiError } from './errors.ts';
import { type Call, type Endpoint, jsonAnswer, parseWith } from './protocol.ts';
import { type StreamEvent, streamAnswer } from './stream.ts';
import { type Schema, structuredAnswer } from './structured.ts';
import { chatUsage, countTokens, cutToTokens, splitTokens, textOfTokens, tokensOfBytes } from './usage.ts';

/** A longer prompt is echoed up to here, so that a long one doesn't make a long answer. */
const ECHOED_CHARACTERS = 200;

const limit = z.number().int().min(1).nullish();
const part = z.looseObject({ type: z.string(), text: z.string().optional() });
const chatSchema = z.looseObject({
  messages: z
    .array(z.looseObject({ role: z.string(), content: z.union([z.string(), z.array(part)]).nullish() }))
    .min(1),
  n: z.number().int().min(1).max(128).nullish(),
  max_tokens: limit,
  max_completion_tokens: limit,
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  response_format: z
    .looseObject({
      type: z.string(),
      json_schema: z
        .looseObject({ schema: z.custom<Schema>((value) => typeof value === 'object').optional() })
        .nullish(),
    })
    .nullish(),
  tools: z.array(z.looseObject({ function: z.looseObject({ name: z.string() }).optional() })).nullish(),
  tool_choice: z
    .union([z.string(), z.looseObject({ function: z.looseObject({ name: z.string() }).optional() })])
    .nullish(),
});
type ChatBody = z.infer<typeof chatSchema>;
type Message = ChatBody['messages'][number];

/** What the answer to one request is, in every choice alike. */
interface Answer {
  content: string | null;
  refusal: string | null;
  toolCall: { id: string; type: 'function'; function: { name: string; arguments: string } } | null;
  finishReason: 'stop' | 'length' | 'tool_calls';
  /** Tokens that the client can see, in one choice. */
  visible: number;
  reasoning: number;
}

/** Chat completions. */
export const chatCompletions: Endpoint = {
  promptOf(body) {
    const users = parseWith(chatSchema, body).messages.filter((message) => message.role === 'user');
    return users.length === 0 ? '' : textOf(users[users.length - 1]);
  },

  answer(call) {
    const body = parseWith(chatSchema, call.body);
    if (body.stream_options && !body.stream) {
      const message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
      throw new ApiError(400, message, { param: 'stream_options' });
    }
    const answer = makeAnswer(body, call);
    const choices = body.n ?? 1;
    const prompt = body.messages.reduce((sum, message) => sum + countTokens(textOf(message)), 0);
    call.entry.prompt_tokens = prompt;
    const counted = chatUsage(prompt, answer.visible * choices, answer.reasoning * choices, cachedTokens(call));
    const usage = call.directive.usage === undefined ? counted : call.directive.usage;
    if (!body.stream) return jsonAnswer(call, completion(call, answer, choices, usage), answer.visible * choices);
    const reported = body.stream_options?.include_usage ? usage : undefined;
    return streamAnswer(call, streamEvents(call, answer, choices, reported));
  },
};

function cachedTokens(call: Call): number {
  return call.directive.cached_tokens ?? 0;
}

function textOf(message: Message | undefined): string {
  const content = message?.content ?? '';
  return typeof content === 'string' ? content : content.map((piece) => piece.text ?? '').join('');
}

function makeAnswer(body: ChatBody, call: Call): Answer {
  const tool = requiredTool(body);
  if (tool !== null) {
    const echo = JSON.stringify({ echo: call.prompt });
    const toolCall = {
      id: `call_${call.entry.id}`,
      type: 'function',
      function: { name: tool, arguments: echo },
    } as const;
    const reasoning = call.directive.reasoning_tokens ?? 0;
    const visible = countTokens(echo);
    return { content: null, refusal: null, toolCall, finishReason: 'tool_calls', visible, reasoning };
  }
  const { refusal } = call.directive;
  if (refusal !== undefined) {
    return {
      content: null,
      refusal,
      toolCall: null,
      finishReason: 'stop',
      visible: countTokens(refusal),
      reasoning: 0,
    };
  }
  const limit = body.max_completion_tokens ?? body.max_tokens ?? Infinity;
  const max = call.directive.ignore_limit ? Infinity : limit;
  const text = fullText(body, call);
  const reasoning = Math.min(call.directive.reasoning_tokens ?? 0, max);
  const content = max === Infinity ? text : cutToTokens(text, max - reasoning);
  const finishReason = content.length < text.length ? 'length' : 'stop';
  return { content, refusal: null, toolCall: null, finishReason, visible: countTokens(content), reasoning };
}

/** The name of the function that the caller insists on: the one it names, or the first of its tools. */
function requiredTool(body: ChatBody): string | null {
  const choice = body.tool_choice;
  if (typeof choice === 'object' && choice !== null) return choice.function?.name ?? null;
  return choice === 'required' ? (body.tools?.[0]?.function?.name ?? null) : null;
}

function fullText(body: ChatBody, call: Call): string {
  const { empty, text, output_tokens: tokens } = call.directive;
  if (empty) return '';
  if (text !== undefined) return text;
  if (tokens !== undefined) return textOfTokens(tokens);
  const answer = `Simulated answer to: ${[...call.prompt].slice(0, ECHOED_CHARACTERS).join('')}`;
  const type = body.response_format?.type;
  const schema = body.response_format?.json_schema?.schema;
  if (type === 'json_schema' && schema) {
    const instructions = body.messages.filter(({ role }) => role === 'system' || role === 'developer').map(textOf);
    return structuredAnswer(schema, answer, instructions, call.directive);
  }
  return type === 'json_object' || type === 'json_schema' ? JSON.stringify({ answer }) : answer;
}

function completion(call: Call, answer: Answer, choices: number, usage: object | null): object {
  const { content, refusal, toolCall, finishReason } = answer;
  const message = { role: 'assistant', content, refusal, ...(toolCall ? { tool_calls: [toolCall] } : {}) };
  return {
    ...frame(call, 'chat.completion'),
    choices: Array.from({ length: choices }, (_, index) => ({
      index,
      message,
      logprobs: null,
      finish_reason: finishReason,
    })),
    ...(usage === null ? {} : { usage }),
  };
}

/** What every object of one answer begins with. */
function frame(call: Call, object: string): { id: string; object: string; created: number; model: string } {
  const created = Math.floor(Date.parse(call.entry.received_at) / 1000);
  return { id: `chatcmpl-${call.entry.id}`, object, created, model: call.model };
}

/**
 * The events of a stream: a role for each choice, the content in pieces, the finish reasons, the usage. As the protocol
 * has it, with `include_usage` every chunk before the last carries `usage: null`. `usage` undefined: it was not asked
 * for; null: the directive leaves it out.
 */
function* streamEvents(
  call: Call,
  answer: Answer,
  choices: number,
  usage: object | null | undefined,
): Generator<StreamEvent> {
  const indexes = Array.from({ length: choices }, (_, index) => index);
  const withUsage = usage === undefined ? {} : { usage: null };
  const chunk = (index: number, delta: object, finish: string | null): object => ({
    ...frame(call, 'chat.completion.chunk'),
    choices: [{ index, delta, finish_reason: finish }],
    ...withUsage,
  });
  const opening = { role: 'assistant', content: answer.toolCall ? null : '' };
  for (const index of indexes) yield { data: chunk(index, opening, null), tokens: 0, isContent: false };
  for (const piece of contentPieces(call, answer)) {
    for (const index of indexes) yield { data: chunk(index, piece.delta, null), tokens: piece.tokens, isContent: true };
  }
  for (const index of indexes) yield { data: chunk(index, {}, answer.finishReason), tokens: 0, isContent: false };
  if (usage) {
    const data = { ...frame(call, 'chat.completion.chunk'), choices: [], usage };
    yield { data, tokens: 0, isContent: false };
  }
}

function contentPieces(call: Call, answer: Answer): { delta: object; tokens: number }[] {
  if (answer.toolCall) {
    const { id, type, function: called } = answer.toolCall;
    const opening = { index: 0, id, type, function: { name: called.name, arguments: '' } };
    const rest = { index: 0, function: { arguments: called.arguments } };
    return [
      { delta: { tool_calls: [opening] }, tokens: 0 },
      { delta: { tool_calls: [rest] }, tokens: answer.visible },
    ];
  }
  return groupPieces(splitTokens(answer.content ?? ''), call.directive.chunks);
}

/** Joins one-token pieces to `chunks` chunks of about equal size; each carries the tokens by which the total grows. */
function groupPieces(pieces: string[], chunks: number | undefined): { delta: object; tokens: number }[] {
  const groups = Math.min(chunks ?? pieces.length, pieces.length);
  let bytes = 0;
  return Array.from({ length: groups }, (_, index) => {
    const start = Math.floor((index * pieces.length) / groups);
    const end = Math.floor(((index + 1) * pieces.length) / groups);
    const content = pieces.slice(start, end).join('');
    const before = tokensOfBytes(bytes);
    bytes += Buffer.byteLength(content);
    return { delta: { content }, tokens: tokensOfBytes(bytes) - before };
  });
}
