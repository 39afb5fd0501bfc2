/**
 * Answers in conversations: `POST /v1/conversations/{id}/messages`, `…/messages/{id}/answers` and
 * `…/messages/{id}/continue`. Each is an AI call as any other, whose answer is a message.
 */
import { z } from 'zod';
import type { Caller } from '../_shared/auth.ts';
import { readBody } from '../_shared/body.ts';
import { readCallDetails } from '../_shared/call-facts.ts';
import { database, run } from '../_shared/database.ts';
import type { Json } from '../_shared/database.types.ts';
import { ApiError, invalidRequest } from '../_shared/errors.ts';
import { sha256 } from '../_shared/hash.ts';
import { cleanJson, parseJson } from '../_shared/json.ts';
import { toStorable } from '../_shared/text.ts';
import { asStream, type Loose } from './answer.ts';
import { withReadablePictures } from './attachments.ts';
import { type AnswerMessage, admit, messageHeaders, StaleError } from './call.ts';
import { conversationOf, countParts, type Part, type Remembered, type Remembering, type Told } from './context.ts';
import { answerAdmitted, worstCaseOf } from './endpoint.ts';
import { names } from './fields.ts';
import { followAnswer, requireIds, type WantedAnswer } from './follow.ts';
import { chatId } from './names.ts';
import { type Helpers, limitedChat, writeNotes } from './notes.ts';
import { type ChatRequest, parseRequest, type RequestShape } from './request.ts';

/** Bodies above this are refused, MiB. */
const LARGEST_BODY = 20;
const MOST_PARTS = 1_000;
/** Uncounted text that a request counts the tokens of, characters: a hosted function has 2 s of CPU. */
const MOST_COUNTED = 1_000_000;
/** Of a model's window so much is used where its provider says that it was too much. */
const SHARE_OF_A_SECOND_TRY = 0.8;
/** A request is read again so often where the conversation goes on meanwhile. */
const MOST_READINGS = 3;

const id = z.guid().nullish();
const number = z.number().nullish();
const part = z.looseObject({ type: z.string().min(1).max(100) });
const shape = {
  id,
  answer_id: id,
  parent_message_id: id,
  content: z.string().min(1).nullish(),
  parts: z.array(part).min(1).max(MOST_PARTS).nullish(),
  metadata: z.record(z.string(), z.json()).nullish(),
  model: z.string().min(1).max(200).nullish(),
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().min(1).max(1_000_000_000).nullish(),
  ...{ temperature: number, top_p: number, reasoning_effort: z.string().max(100).nullish() },
};
const schema = z.object(shape);
type Body = z.infer<typeof schema>;
const requestShape: RequestShape<Body> = { fields: names(...Object.keys(shape)), schema };

/** What is asked for: the conversation, what to do in it, and the message that it is about. */
export interface Asked {
  conversationId: string;
  action: AnswerMessage['action'];
  messageId?: string;
}

interface Context extends Remembering, Helpers {
  workspace_id: string;
  context_window: number | null;
  earlier?: { status: string; message: Loose | null; answer: Loose };
  model: string | null;
  parent_message_id: string | null;
  message_id: string | null;
  answer_id: string | null;
  messages: Remembered[];
}

/**
 * Writes an answer in a conversation. Throws ApiError as any AI call does, 403 `forbidden` where the conversation is
 * somebody else's, 404 `not_found`, 409 `generation_running`, `idempotency_conflict` and `invalid_state`.
 */
export async function answerMessage(http: Request, caller: Caller, requestId: string, asked: Asked): Promise<Response> {
  const { conversationId } = asked;
  requireIds(conversationId, asked.messageId);
  const { text } = await readBody(http, LARGEST_BODY);
  const { request: body, fields } = parseRequest(text.trim() === '' ? {} : parseJson(text), requestShape);
  const [unknown] = fields.values();
  if (unknown !== undefined) throw invalidRequest(`The field ${JSON.stringify(unknown)} is not supported.`, unknown);
  const parts = asked.action === 'send' ? partsOf(body) : [];
  const details = readCallDetails(http.headers);
  // How it is answered is free: a repeated request may ask for the other form.
  const hashed = JSON.stringify(inOrder({ ...body, stream: undefined }));
  const hash = sha256(`${new URL(http.url).pathname}\n${hashed}`);
  const ids = { message: body.id ?? crypto.randomUUID(), answer: body.answer_id ?? crypto.randomUUID() };
  for (let readings = 1; ; readings += 1) {
    const context = await readContext(caller, asked, body, ids, hash);
    if (context.earlier) return repeated(http, { caller, conversationId, requestId }, context.earlier, body);
    try {
      return await send({ caller, requestId, asked, body, parts, details, hash, ids }, context);
    } catch (error) {
      if (!(error instanceof StaleError)) throw error;
      if (readings === MOST_READINGS) {
        throw new ApiError(409, 'generation_running', 'Others write in this conversation at the same time.', null, {
          'retry-after': '1',
        });
      }
    }
  }
}

type Counted = Remembered & { tokens: number };

interface Sending {
  caller: Caller;
  requestId: string;
  asked: Asked;
  body: Body;
  parts: Part[];
  details: ReturnType<typeof readCallDetails>;
  hash: string;
  ids: { message: string; answer: string };
}

async function send(sending: Sending, context: Context): Promise<Response> {
  const { caller, requestId, asked, body, parts, details, hash, ids } = sending;
  const { conversationId, action } = asked;
  if (context.model === null) throw invalidRequest('Name a model, or give the conversation one.', 'model');
  const { counted, all: messages } = await countAll(context.messages);
  const tokens = await countParts(parts);
  if (action === 'send') messages.push({ id: ids.message, role: 'user', parts, tokens });
  const shown = await withReadablePictures(messages, `${context.workspace_id}/${conversationId.toLowerCase()}`);
  // With the summary of what was said before, and where there is no room, without it.
  const summary = context.summary === null ? '' : `The conversation so far, in short:\n${context.summary}`;
  const both = [context.system_prompt, summary].filter((one) => one !== '').join('\n\n');
  const instructions = await Promise.all(
    [...new Set([both, context.system_prompt])].map(async (text) => ({
      system_prompt: text,
      tokens: await countParts([{ type: 'text', text }]),
    })),
  );
  const requestOf = (share: number) => {
    for (const { system_prompt, tokens: used } of instructions) {
      const { max_output_tokens: most } = body;
      const told = conversationOf({ ...context, system_prompt }, shown, used, most, action === 'continue', share);
      if (told) return requestFor(context.model ?? '', told, body);
    }
    return undefined;
  };
  const request = requestOf(1);
  if (!request)
    throw invalidRequest("The message is longer than the model's context.", action === 'send' ? 'content' : null);
  const worstCase = worstCaseOf(limitedChat, request, new Map());
  const key = action === 'continue' ? undefined : ((action === 'send' ? body.id : undefined) ?? body.answer_id);
  const message: AnswerMessage = {
    conversation_id: conversationId,
    action,
    answer_id: action === 'continue' ? (asked.messageId ?? '') : (context.answer_id ?? ids.answer),
    message: {
      id: action === 'send' ? (context.message_id ?? ids.message) : undefined,
      parent_message_id: action === 'continue' ? context.message_id : context.parent_message_id,
      parts: parts as Json,
      content_type: contentTypeOf(parts),
      content_tokens: tokens,
      metadata: cleanJson(body.metadata ?? {}, toStorable) as Json,
      follows_leaf: action === 'send' && body.parent_message_id === undefined,
      key_id: key ?? undefined,
      request_hash: hash,
      counted,
    },
  };
  const call = await admit(
    { caller, requestId, model: request.model, request, details, repeatable: {}, message },
    worstCase,
  );
  if ('kept' in call) throw new Error('an answer that was kept'); // only under an Idempotency-Key
  call.afterwards = async (answer) => {
    const said = [
      ...messages,
      { id: call.message?.answer_id ?? '', role: 'assistant', parts: answer, tokens: await countParts(answer) },
    ];
    await writeNotes(context, { caller, details, conversationId, said });
  };
  return answerAdmitted(limitedChat, request, call, () => requestOf(SHARE_OF_A_SECOND_TRY));
}

/** The request that a provider gets. */
function requestFor(model: string, told: Told, { stream, temperature, top_p, reasoning_effort }: Body): ChatRequest {
  const settings = Object.entries({ temperature, top_p, reasoning_effort, max_completion_tokens: told.most });
  const given = settings.filter(([, value]) => value != null);
  return { model, messages: told.messages, stream: stream ?? true, ...Object.fromEntries(given) };
}

async function readContext(
  caller: Caller,
  { conversationId, action, messageId }: Asked,
  body: Body,
  ids: Sending['ids'],
  hash: string,
): Promise<Context> {
  const context = await run(() =>
    database.rpc('conversation_context', {
      ...caller,
      conversation_id: conversationId,
      action,
      message_id: action === 'send' ? (body.id ?? undefined) : action === 'answer' ? messageId : undefined,
      answer_id: action === 'continue' ? messageId : ids.answer,
      parent_message_id: body.parent_message_id ?? undefined,
      follows_leaf: body.parent_message_id === undefined,
      request_hash: hash,
      model: body.model == null ? undefined : toStorable(body.model),
    }),
  );
  return context as unknown as Context;
}

/**
 * Counts messages that were written without being counted, the newest first and no more than a request has time for; those
 * before them are taken to be as long as they may be, and counted by a later one.
 */
async function countAll(messages: Remembered[]): Promise<{ counted: Record<string, number>; all: Counted[] }> {
  const counted: Record<string, number> = {};
  const all: Counted[] = [];
  let left = MOST_COUNTED;
  for (const { tokens, ...message } of messages.toReversed()) {
    const length = tokens === null ? JSON.stringify(message.parts).length : 0;
    left -= length;
    if (tokens === null && left >= 0) counted[message.id] = await countParts(message.parts);
    all.unshift({ ...message, tokens: tokens ?? counted[message.id] ?? length });
  }
  return { counted, all };
}

/** JSON with the names of each object in order: the same body is the same text. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, item]) => [name, inOrder(item)]),
  );
}

/** What a person wrote. */
function partsOf({ content, parts }: Body): Part[] {
  if (content != null && parts != null) throw invalidRequest('Send content or parts, not both.', 'parts');
  if (content != null) return [{ type: 'text', text: toStorable(content) }];
  if (parts == null) throw invalidRequest('Send content (a text) or parts (a list).', 'content');
  return cleanJson(parts, toStorable) as Part[];
}

function contentTypeOf(parts: Part[]): string {
  return ['image', 'file'].find((kind) => parts.some(({ type }) => type === kind)) ?? 'text';
}

/** What the same request was answered before, in the form that it asks for; a stream that still runs from its beginning. */
async function repeated(
  http: Request,
  asked: Omit<WantedAnswer, 'messageId'>,
  { status, message, answer }: NonNullable<Context['earlier']>,
  body: Body,
): Promise<Response> {
  const messageId = String(answer.id);
  const headers = messageHeaders(message?.id as string | undefined, messageId);
  if (status === 'sending' && (body.stream ?? true)) {
    const followed = await followAnswer(http, { ...asked, messageId });
    for (const [name, value] of Object.entries(headers)) followed.headers.set(name, value);
    return followed;
  } else if (status === 'sending') {
    throw new ApiError(409, 'generation_running', `The answer ${messageId} is still being made.`, null, headers);
  }
  if (!(body.stream ?? true)) return Response.json({ message, answer }, { headers });
  const { metadata } = answer as { metadata?: { finish_reason?: string } };
  const completion = {
    id: chatId(String(answer.id)),
    created: Math.floor(Date.parse(String(answer.created_at)) / 1000),
    model: answer.model_used,
    choices: [{ index: 0, message: toMessage(answer), finish_reason: metadata?.finish_reason ?? 'length' }],
  };
  return new Response(asStream(completion), {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', ...headers },
  });
}

/** An answer as it was in the stream. */
function toMessage({ content, parts }: Loose) {
  const written = parts as Part[];
  const reasoning = written.flatMap(({ type, text }) => (type === 'reasoning' ? [text] : []));
  const calls = written.filter(({ type }) => type === 'tool_call');
  return {
    role: 'assistant',
    content,
    ...(reasoning.length > 0 && { reasoning: reasoning.join('') }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, arguments: input }) => ({
        id,
        type: 'function',
        function: { name, arguments: input },
      })),
    }),
  };
}
