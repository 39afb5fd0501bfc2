/** What the model reads of a request: its words, and parts of other kinds, which cost what the model's row says. */
import { invalidRequest } from '../_shared/errors.ts';
import { toStorable } from '../_shared/text.ts';
import { CHAT_SETTINGS, type Fields, type Names, names } from './fields.ts';
import { MOST_TOKENS } from './pools.ts';
import { countTokens, utf8Length } from './tokenizer.ts';

/** Content parts that are no text, by kind: how many, and where the first one names its kind. */
export type Parts = Map<string, { count: number; param: string }>;

/** All of a request that the model reads. */
export interface ModelInput {
  texts: string[];
  /** Of the texts, in UTF-8. */
  bytes: number;
  /** Numbers, flags and nulls among them. */
  values: number;
  messages: number;
  hasTools: boolean;
  parts: Parts;
  /** Of every kind, text too. */
  partCount: number;
}

/** A message's role and separators, in tokens. */
const TOKENS_OF_A_MESSAGE = 8;
/** A number as a model reads it, with what stands around it, in tokens. */
const TOKENS_OF_A_VALUE = 8;
/** The instructions that some providers add where there are tools, in tokens. */
const TOKENS_OF_TOOLS = 1_000;
/** Parts of all messages together, and kinds among them. */
const MOST_PARTS = 10_000;
const MOST_KINDS = 20;
const LONGEST_KIND = 64;

const MESSAGE = names(
  ...['role', 'content', 'name', 'tool_calls', 'tool_call_id', 'function_call', 'refusal'],
  // What models wrote before, as clients send it back.
  ...['reasoning', 'reasoning_content', 'reasoning_details', 'annotations', 'prefix', 'partial'],
);
const TOOL = names('type', 'function', 'custom');
const FUNCTION = names('name', 'description', 'parameters', 'strict');
const CUSTOM = names('name', 'description', 'format');
// Gemini's API has the signatures of its thoughts in extra_content.
const TOOL_CALL = names('id', 'type', 'index', 'function', 'custom', 'extra_content');
const CALLED_FUNCTION = names('name', 'arguments');
const CALLED_CUSTOM = names('name', 'input');
/** Settings whose values are checked and too short to be worth counting. */
const NOT_COUNTED = new Set(['model', 'stream_options']);
const TEXT_KINDS = new Map([partKind('text'), partKind('refusal')]);
/** Of the other kinds we know: what stands in one, and which of it is a file, whose length says nothing of its tokens. */
const FILE_KINDS = new Map([
  partKind('image_url', 'url', ['detail'], /^(data:image\/[a-z0-9.+-]{1,50};base64,|https?:)/i),
  partKind('video_url', 'url', ['fps'], /^(data:video\/[a-z0-9.+-]{1,50};base64,|https?:)/i),
  partKind('audio_url', 'url', [], /^(data:audio\/[a-z0-9.+-]{1,50};base64,|https?:)/i),
  partKind('input_audio', 'data', ['format']),
  partKind('file', 'file_data', ['filename']),
]);

/** An input that is text alone. */
export function textInput(value: unknown): ModelInput {
  const input = emptyInput();
  weigh(value, input);
  return input;
}

/**
 * Reads what the model reads of a chat, in one walk. Names that are not known are put down in `fields`, for the model's
 * row to decide on. Throws 400 `invalid_request` for what is no chat, and for a name that is one of ours but for its case.
 */
export function chatInput(request: { messages: unknown[] } & Record<string, unknown>, fields: Fields): ModelInput {
  const { messages, tools, functions, ...others } = request;
  const input = emptyInput();
  input.messages = messages.length;
  for (const [index, message] of messages.entries()) readMessage(message, `messages.${index}`, input, fields);
  if (tools != null) readTools(tools, fields);
  if (functions != null) checkEach(functions, FUNCTION, 'functions', fields);
  input.hasTools = Array.isArray(tools) || Array.isArray(functions);
  for (const value of [tools, functions]) if (value != null) weigh(value, input);
  // Also what the model's row lets through: nobody knows what the model sees of it.
  const settings = emptyInput();
  for (const [name, value] of Object.entries(others)) {
    if (value == null) continue;
    if (!CHAT_SETTINGS.has(name)) weigh(value, input);
    else if (!NOT_COUNTED.has(name) && (typeof value === 'string' || typeof value === 'object')) weigh(value, settings);
  }
  // Held for, but nothing of it is charged where tokens are counted: the model may see it, and mostly does not.
  input.bytes += settings.bytes;
  input.values += settings.values;
  return input;
}

/** The most tokens a text can be: a token is a byte at least. What parts can be, the model's row says. */
export function mostInputTokens({ bytes, values, messages, hasTools }: ModelInput): number {
  const tokens = bytes + values * TOKENS_OF_A_VALUE + messages * TOKENS_OF_A_MESSAGE;
  return Math.min(tokens + (hasTools ? TOKENS_OF_TOOLS : 0), MOST_TOKENS);
}

/** Tokens, and whether a tokenizer counted them or they are a guess. */
export interface Count {
  tokens: number;
  isCounted: boolean;
}

/** The tokens of an input whose provider reported none; parts count what their call is held for. */
export async function countInput({ texts }: ModelInput, partTokens: number): Promise<Count> {
  const { tokens, isCounted } = await countTokens(texts);
  return { tokens: Math.min(tokens + partTokens, MOST_TOKENS), isCounted: isCounted && partTokens === 0 };
}

function emptyInput(): ModelInput {
  return { texts: [], bytes: 0, values: 0, messages: 0, hasTools: false, parts: new Map(), partCount: 0 };
}

function readMessage(message: unknown, at: string, input: ModelInput, fields: Fields): void {
  if (!isObject(message)) throw invalidRequest(`${at} must be an object.`, at);
  if (typeof message.role !== 'string') throw invalidRequest(`${at}.role must be a text.`, `${at}.role`);
  MESSAGE.check(message, at, fields);
  const { tool_calls, function_call } = message;
  if (isObject(function_call)) CALLED_FUNCTION.check(function_call, `${at}.function_call`, fields);
  if (tool_calls != null) {
    for (const [call, place] of checkEach(tool_calls, TOOL_CALL, `${at}.tool_calls`, fields)) {
      if (isObject(call.function)) CALLED_FUNCTION.check(call.function, `${place}.function`, fields);
      if (isObject(call.custom)) CALLED_CUSTOM.check(call.custom, `${place}.custom`, fields);
    }
  }
  for (const [key, value] of Object.entries(message)) {
    add(key, input);
    if (key === 'content' && Array.isArray(value)) readParts(value, `${at}.content`, input, fields);
    else if (key === 'content' && value !== null && typeof value !== 'string') {
      throw invalidRequest(`${at}.content must be a text or a list of parts.`, `${at}.content`);
    } else weigh(value, input);
  }
}

function partKind(kind: string, file = '', others: string[] = [], address?: RegExp) {
  return [kind, { outer: names('type', kind), inner: names(file, ...others), file, address }] as const;
}

function readParts(parts: unknown[], at: string, input: ModelInput, fields: Fields): void {
  input.partCount += parts.length;
  if (input.partCount > MOST_PARTS) throw invalidRequest(`The messages hold more than ${MOST_PARTS} parts.`, at);
  for (const [index, part] of parts.entries()) readPart(part, `${at}.${index}`, input, fields);
}

function readPart(part: unknown, at: string, input: ModelInput, fields: Fields): void {
  if (!isObject(part)) throw invalidRequest(`${at} must be an object with a type.`, at);
  const { type } = part;
  if (typeof type !== 'string' || type.length > LONGEST_KIND || type !== toStorable(type)) {
    throw invalidRequest(`${at}.type must name a kind of content.`, `${at}.type`);
  }
  const text = TEXT_KINDS.get(type);
  if (text) {
    text.outer.check(part, at, fields);
    if (typeof part[type] !== 'string') throw invalidRequest(`${at}.${type} must be a text.`, `${at}.${type}`);
    weigh(part, input);
    return;
  }
  const { count, param } = input.parts.get(type) ?? { count: 0, param: `${at}.type` };
  input.parts.set(type, { count: count + 1, param });
  if (input.parts.size > MOST_KINDS)
    throw invalidRequest(`The messages hold more than ${MOST_KINDS} kinds of parts.`, at);
  weigh(withoutFile(part, type, at, fields), input);
}

/** A part for its words: without the file in it, where its kind is one we know. */
function withoutFile(part: Record<string, unknown>, type: string, at: string, fields: Fields): object {
  const kind = FILE_KINDS.get(type);
  (kind?.outer ?? names('type', type)).check(part, at, kind ? fields : new Map());
  if (!kind) return part;
  const content = part[type];
  if (!isObject(content)) throw invalidRequest(`${at}.${type} must be an object.`, `${at}.${type}`);
  kind.inner.check(content, `${at}.${type}`, fields);
  const file = content[kind.file];
  if (typeof file !== 'string' || (kind.address && !kind.address.test(file))) {
    const param = `${at}.${type}.${kind.file}`;
    throw invalidRequest(
      `${param} must be ${kind.address ? 'an http(s) URL or a data URL of its kind' : 'a text'}.`,
      param,
    );
  }
  return { ...part, [type]: { ...content, [kind.file]: '' } };
}

/** Tools that the caller runs. Those that the provider runs have prices of their own. */
function readTools(tools: unknown, fields: Fields): void {
  for (const [tool, at] of checkEach(tools, TOOL, 'tools', fields)) {
    if (tool.type !== 'function' && tool.type !== 'custom') {
      throw invalidRequest(`${at}.type must be function or custom.`, `${at}.type`);
    }
    if (isObject(tool.function)) FUNCTION.check(tool.function, `${at}.function`, fields);
    if (isObject(tool.custom)) CUSTOM.check(tool.custom, `${at}.custom`, fields);
  }
}

/** Checks the names of each object of a list; returns them with their places. */
function checkEach(list: unknown, known: Names, at: string, fields: Fields): [Record<string, unknown>, string][] {
  if (!Array.isArray(list)) throw invalidRequest(`${at} must be a list.`, at);
  return list.map((item, index) => {
    const place = `${at}.${index}`;
    if (!isObject(item)) throw invalidRequest(`${place} must be an object.`, place);
    known.check(item, place, fields);
    return [item, place];
  });
}

/** Puts down every word of a value, its names too. */
function weigh(value: unknown, input: ModelInput): void {
  if (typeof value === 'string') add(value, input);
  else if (typeof value !== 'object' || value === null) input.values += 1;
  else if (Array.isArray(value)) for (const item of value) weigh(item, input);
  else {
    for (const [key, item] of Object.entries(value)) {
      add(key, input);
      weigh(item, input);
    }
  }
}

function add(text: string, input: ModelInput): void {
  input.texts.push(text);
  input.bytes += utf8Length(text);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
