/** What of a conversation a model is sent: its newest messages, as many as fit, in the form that providers take. */
import { type Loose, objectsIn, readChoice } from './answer.ts';
import { countTokens } from './tokenizer.ts';

/** A part of a message: an object with a type. What is no type of ours is kept, and no model sees it. */
export type Part = { type: string } & Record<string, unknown>;

/** A message as the database has it; its tokens, once they were counted. */
export interface Remembered {
  id: string;
  role: 'user' | 'assistant' | 'system' | 'tool';
  parts: Part[];
  tokens: number | null;
}

/** What a model takes besides text, and the most tokens of each kind of it; null: no bound is known. */
export type Accepted = Record<string, number | null>;

/** A message's role and separators, and what stands around a part, in tokens. */
const TOKENS_OF_A_MESSAGE = 8;
const TOKENS_OF_A_PART = 4;
/** A picture or file that has no bound, in tokens: a guess, for the provider says when it was wrong. */
const TOKENS_OF_AN_UNBOUNDED_PART = 2_000;
/** Asks for the rest of an answer: most providers answer anew where a conversation ends with an answer's beginning. */
const TOKENS_OF_GO_ON = 40;
const GO_ON =
  'Continue your last answer exactly where it ended. Repeat nothing of it, and say nothing about this request.';

/** How many tokens the words of parts take. */
export async function countParts(parts: Part[]): Promise<number> {
  const { tokens } = await countTokens(parts.flatMap(wordsOf));
  return tokens + TOKENS_OF_A_MESSAGE + parts.length * TOKENS_OF_A_PART;
}

/** The words of a part that a model reads. */
export function wordsOf(part: Part): string[] {
  switch (part.type) {
    case 'text':
    case 'refusal':
      return [textIn(part.text)];
    case 'tool_call':
      return [textIn(part.id), textIn(part.name), jsonIn(part.arguments)];
    case 'tool_result':
      return [textIn(part.tool_call_id), jsonIn(part.content)];
    case 'image':
    case 'file':
      return [namedIn(part)];
    default:
      return [];
  }
}

/** Tokens that a message takes in a model's window: those of its words, and of the pictures that the model takes. */
export function sizeOf({ parts, tokens }: { parts: Part[]; tokens: number }, accepted: Accepted): number {
  const pictures = parts.filter(({ type }) => type === 'image').length;
  const ofOne = accepted.image_url === undefined ? TOKENS_OF_A_PART : accepted.image_url;
  return tokens + pictures * (ofOne ?? TOKENS_OF_AN_UNBOUNDED_PART);
}

/**
 * The newest messages that fit, the oldest of them a question where there is one: a question and what answers it, calls of
 * tools too, come together or not at all. The last question and what follows it always come; undefined where even they do
 * not fit.
 */
export function fitted<T extends { role: string; size: number }>(messages: T[], room: number): T[] | undefined {
  let from = messages.length;
  let left = room;
  for (let at = messages.length - 1; at >= 0; at -= 1) {
    left -= messages[at]?.size ?? 0;
    if (left < 0) break;
    if (messages[at]?.role === 'user' || at === 0) from = at;
  }
  return from === messages.length && messages.length > 0 ? undefined : messages.slice(from);
}

/** What a conversation has for a model, and what the model's row says of itself. */
export interface Remembering {
  context_window: number | null;
  max_output_tokens: number | null;
  content_parts: Accepted | null;
  system_prompt: string;
  messages: Remembered[];
}

/** What a provider is told, and the most that it may answer where that is limited. */
export interface Told {
  messages: ChatMessage[];
  most: number | undefined;
}

/**
 * The messages that a provider gets: the instructions (so many tokens) and what fits into a share of the window, less the
 * output; undefined where not even the last question does. The last message is new: it has to come, whatever its pictures
 * are taken to be.
 */
export function conversationOf(
  { context_window, max_output_tokens, content_parts, system_prompt }: Omit<Remembering, 'messages'>,
  messages: (Omit<Remembered, 'tokens'> & { tokens: number })[],
  instructions: number,
  wanted: number | null | undefined,
  isCutOff: boolean,
  share: number,
): Told | undefined {
  const accepted = content_parts ?? {};
  const window = context_window ?? Number.POSITIVE_INFINITY;
  // At least half of the window is for what came before.
  const reserved = Math.min(wanted ?? max_output_tokens ?? 0, Math.floor(window / 2));
  const besides = instructions + (isCutOff ? TOKENS_OF_GO_ON : 0);
  const sized = messages.map((message, index) => {
    const size = index === messages.length - 1 ? message.tokens : sizeOf(message, accepted);
    return { ...message, size };
  });
  const kept = fitted(sized, (window - reserved) * share - besides);
  if (!kept) return undefined;
  const used = kept.reduce((sum, { size }) => sum + size, besides);
  const system = system_prompt === '' ? [] : [{ role: 'system', content: system_prompt }];
  return {
    messages: [...system, ...toChat(kept, accepted, isCutOff)],
    most: wanted == null ? undefined : Math.min(wanted, Math.max(window - used, 1)),
  };
}

/** A message as providers take it. */
export type ChatMessage = { role: string; content: unknown } & Record<string, unknown>;

/** Messages as providers take them; `isCutOff` asks for the rest of the last one. */
export function toChat(messages: Pick<Remembered, 'role' | 'parts'>[], accepted: Accepted, isCutOff = false) {
  const chat = paired(
    messages.flatMap((message, index) =>
      message.role === 'user'
        ? toQuestion(message.parts, index === messages.length - 1 ? undefined : accepted)
        : toAnswer(message.role, message.parts),
    ),
  );
  return isCutOff ? [...chat, { role: 'user', content: GO_ON }] : chat;
}

/** Of earlier questions, pictures that the model does not take are left out; of a new one the call is refused. */
function toQuestion(parts: Part[], accepted: Accepted | undefined): ChatMessage[] {
  const content = parts.flatMap((part) => {
    if (part.type === 'text') return [{ type: 'text', text: textIn(part.text) }];
    if (part.type === 'image' && typeof part.url === 'string') {
      const isTaken = !accepted || accepted.image_url !== undefined;
      return [isTaken ? { type: 'image_url', image_url: { url: part.url } } : { type: 'text', text: namedIn(part) }];
    }
    if (part.type === 'image' || part.type === 'file') return [{ type: 'text', text: namedIn(part) }];
    return [];
  });
  if (content.length === 0) return [];
  const texts = content.filter(({ type }) => type === 'text').map((part) => ('text' in part ? part.text : ''));
  return [{ role: 'user', content: texts.length === content.length ? texts.join('\n\n') : content }];
}

/** An answer, which may have called tools; their results are messages of their own to a provider. */
function toAnswer(role: string, parts: Part[]): ChatMessage[] {
  const chat: ChatMessage[] = [];
  let texts: string[] = [];
  let calls: object[] = [];
  const end = () => {
    const content = texts.join('\n\n');
    if (content !== '' || calls.length > 0) {
      chat.push({
        role: role === 'tool' ? 'assistant' : role,
        content,
        ...(calls.length > 0 && { tool_calls: calls }),
      });
    }
    texts = [];
    calls = [];
  };
  for (const part of parts) {
    if (part.type === 'text' || part.type === 'refusal') {
      if (calls.length > 0) end();
      texts.push(textIn(part.text));
    } else if (part.type === 'tool_call') {
      const called = { name: textIn(part.name), arguments: jsonIn(part.arguments) };
      calls.push({ id: textIn(part.id), type: 'function', function: called });
    } else if (part.type === 'tool_result') {
      end();
      chat.push({ role: 'tool', tool_call_id: textIn(part.tool_call_id), content: jsonIn(part.content) });
    }
  }
  end();
  return chat;
}

/** Without calls that have no result after them and results that have no call before: providers refuse both. */
function paired(chat: ChatMessage[]): ChatMessage[] {
  const open = new Map<unknown, object>();
  const kept = new Set<object>();
  for (const message of chat) {
    const call = open.get(message.tool_call_id);
    if (message.role === 'tool' && call) {
      kept.add(call).add(message);
      open.delete(message.tool_call_id);
    }
    for (const one of callsOf(message)) open.set(one.id, one);
  }
  return chat.flatMap((message) => {
    if (message.role === 'tool') return kept.has(message) ? [message] : [];
    const calls = callsOf(message).filter((call) => kept.has(call));
    const { tool_calls: _, ...rest } = message;
    if (calls.length > 0) return [{ ...rest, tool_calls: calls } as ChatMessage];
    return rest.content === '' ? [] : [rest as ChatMessage];
  });
}

function callsOf({ tool_calls }: ChatMessage): { id: string }[] {
  return Array.isArray(tool_calls) ? tool_calls : [];
}

/** The parts of an answer: of its first choice, whole or as `StreamReader` read it. */
export function partsOf(answer: Loose): Part[] {
  const { content, reasoning, refusal, transcript, calls } = readChoice(objectsIn(answer.choices)[0] ?? {});
  const texts = { reasoning, text: content || transcript, refusal };
  return [
    ...Object.entries(texts).flatMap(([type, text]) => (text === '' ? [] : [{ type, text }])),
    ...calls.map(({ id, name, input }) => ({ type: 'tool_call', id, name, arguments: input })),
  ];
}

/** What stands for a picture or file that is not sent: its name, which the AI SDK calls filename. */
function namedIn({ type, name, filename }: Part): string {
  const given = (textIn(name) || textIn(filename)).slice(0, 200);
  return given === '' ? `[${type}]` : `[${type} ${given}]`;
}

function textIn(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function jsonIn(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}
