/** What is read of an answer or a chunk of one: text and errors, wherever a provider puts them. */

import { joined } from '../_shared/body.ts';

/** An object or chunk as a provider sent it: nothing in it is certain to be of the type that the protocol promises. */
export type Loose = Record<string, unknown>;

/** The object in a value; undefined where it is none, or a list. */
export function objectIn(value: unknown): Loose | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Loose) : undefined;
}

/** The objects in a list; none where it is no list. */
export function objectsIn(value: unknown): Loose[] {
  return Array.isArray(value) ? value.filter((item) => objectIn(item) !== undefined) : [];
}

/** Parses a JSON object; undefined where the text is anything else. */
export function parseObject(text: string): Loose | undefined {
  try {
    return objectIn(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** A call of a tool, or a piece of one. */
export interface WrittenCall {
  index?: number;
  id: string;
  name: string;
  input: string;
}

/** What a model wrote in a message, or in a piece of one. */
export interface Written {
  content: string;
  /** Thoughts, where the provider shows them. */
  reasoning: string;
  refusal: string;
  /** What was said, where it answers with sound. */
  transcript: string;
  calls: WrittenCall[];
  /** Pictures or sound, which are no text and no empty answer either. */
  hasMedia: boolean;
}

/** Reads a choice of an answer or chunk: its message or delta, or its `text`, as completions had it before chats. */
export function readChoice({ delta, message, text }: Loose): Written {
  const written = readMessage(delta ?? message);
  return { ...written, content: written.content || textIn(text) };
}

/** Reads a message or a delta, in each place a model writes in. */
export function readMessage(value: unknown): Written {
  const message = objectIn(value) ?? {};
  const audio = objectIn(message.audio);
  const single = objectIn(message.tool_calls);
  const calls = (single ? [single] : objectsIn(message.tool_calls)).map(readCall);
  return {
    content: textIn(message.content),
    reasoning: thoughtsIn(message),
    refusal: textIn(message.refusal),
    transcript: textIn(audio?.transcript),
    calls: objectIn(message.function_call) ? [...calls, readCall({ function: message.function_call })] : calls,
    hasMedia: Boolean(audio?.data) || objectsIn(message.images).length > 0 || objectsIn(message.content).some(isMedia),
  };
}

/** The same text under each name, at providers that have several. */
const THOUGHTS = ['reasoning', 'reasoning_content', 'reasoning_details', 'reasoning_text', 'thinking'];

function thoughtsIn(message: Loose): string {
  for (const name of THOUGHTS) {
    const text = textIn(message[name]);
    if (text !== '') return text;
  }
  return '';
}

/** All the text of it. */
export function textOf({ content, reasoning, refusal, transcript, calls }: Written): string {
  return content + reasoning + refusal + transcript + calls.map(({ name, input }) => name + input).join('');
}

function readCall(call: Loose): WrittenCall {
  const called = objectIn(call.function) ?? objectIn(call.custom) ?? call;
  const input = called.arguments ?? called.input ?? '';
  return {
    index: typeof call.index === 'number' ? call.index : undefined,
    id: textIn(call.id),
    name: textIn(called.name),
    input: typeof input === 'string' ? input : JSON.stringify(input),
  };
}

/** A text, or the texts of a list of parts. */
function textIn(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(textIn).join('');
  const part = objectIn(value);
  return part ? textIn(part.text ?? part.thinking ?? part.refusal ?? part.summary ?? '') : '';
}

function isMedia(part: Loose): boolean {
  return typeof part.type === 'string' && /image|audio|video|file/.test(part.type);
}

/** Finish reasons that are errors: the common words, GLM's and DeepSeek's. */
const FAILED = new Set([
  ...['error', 'network_error', 'server_error', 'internal_error', 'failed', 'failure', 'abort', 'aborted'],
  'insufficient_system_resource',
]);

/** The error in an answer or chunk that came as a success; undefined where there is none. */
export function errorIn(answer: Loose): unknown {
  if (isError(answer.error)) return answer.error;
  let failed: string | undefined;
  for (const { error, finish_reason } of objectsIn(answer.choices)) {
    if (isError(error)) return error;
    if (FAILED.has(wordOf(finish_reason))) failed = 'its finish reason is an error';
  }
  return wordOf(answer.object) === 'error' ? answer : failed;
}

function isError(error: unknown): boolean {
  return Boolean(error) && JSON.stringify(error) !== '{}';
}

/** Words in a choice's `finish_reason` that say it has not finished. */
const NOT_FINISHED = new Set(['', 'null', 'none', 'undefined']);

/** Why a choice has ended; null while it has not. */
export function finishReasonOf(choice: Loose): string | null {
  const reason = choice.finish_reason;
  return typeof reason === 'string' && !NOT_FINISHED.has(wordOf(reason)) ? reason : null;
}

/** Finish reasons that say that a limit was reached. */
const LIMITS = new Set(['length', 'max_tokens', 'max_output_tokens', 'model_length', 'model_context_window_exceeded']);

/** Whether an answer ended at a limit. */
export function isLimit(reason: string | null): boolean {
  return LIMITS.has(wordOf(reason));
}

/** Finish reasons that are known to be an answer's end: the protocol's, and what providers say instead. */
const KNOWN_ENDS = new Set([
  ...['stop', 'tool_calls', 'tool_call', 'tool_use', 'function_call', 'content_filter', 'end_turn', 'end', 'eos'],
  ...[
    'stop_sequence',
    'eos_token',
    'complete',
    'completed',
    'finished',
    'refusal',
    'safety',
    'recitation',
    'sensitive',
  ],
  ...LIMITS,
]);

/** Whether nothing has to come after this finish reason. After a word that nobody knows, something may. */
export function isKnownEnd(reason: string | null): boolean {
  return KNOWN_ENDS.has(wordOf(reason));
}

function wordOf(value: unknown): string {
  return typeof value === 'string' ? value.trim().toLowerCase() : '';
}

/** A whole completion as the stream that it would have been. */
export function asStream(completion: Loose): string {
  const { usage, choices, ...frame } = completion;
  const chunk = { ...frame, object: 'chat.completion.chunk' };
  const deltas = objectsIn(choices).map(({ message, ...choice }, index) => {
    const delta = { ...objectIn(message) };
    if (Array.isArray(delta.tool_calls)) {
      delta.tool_calls = objectsIn(delta.tool_calls).map((call, at) => ({ index: at, ...call }));
    }
    return { index, ...choice, delta, finish_reason: finishReasonOf(choice) ?? 'stop' };
  });
  const chunks = [{ ...chunk, choices: deltas }, ...(objectIn(usage) ? [{ ...chunk, choices: [], usage }] : [])];
  return [...chunks.map((one) => JSON.stringify(one)), '[DONE]'].map((data) => `data: ${data}\n\n`).join('');
}

const decoder = new TextDecoder();
const QUOTE = 34;
const BACKSLASH = 92;
const OPENING = 91;
const CLOSING = 93;
const BRACE = 123;
const END_BRACE = 125;
const COMMA = 44;
const COLON = 58;
/** Texts longer than this are data to an outline, bytes. */
const LONG_TEXT = 4_096;
const LEFT_OUT = new TextEncoder().encode('(left out)');

/**
 * JSON without its data: long texts are replaced and lists of numbers emptied. It is found by looking at few of the
 * bytes, where parsing the numbers of 2,048 embeddings would take a second and hundreds of MB.
 */
export function outline(json: Uint8Array): Uint8Array {
  const kept: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at < json.length; at += 1) {
    if (json[at] === QUOTE) {
      const end = endOfText(json, at + 1);
      if (end - at > LONG_TEXT) {
        kept.push(json.subarray(from, at + 1), LEFT_OUT);
        from = end;
      }
      at = end;
    } else if (json[at] === OPENING && isNumber(json, at + 1)) {
      const end = json.indexOf(CLOSING, at);
      if (end === -1) break;
      kept.push(json.subarray(from, at + 1));
      from = end;
      at = end;
    }
  }
  return joined([...kept, json.subarray(from)]);
}

/** A member of a JSON object or an item of a list: its name or number, and where it and its value stand, between commas. */
export interface Part {
  name: string;
  start: number;
  value: number;
  end: number;
}

/** The parts of a JSON object or list, found as in `outline`: by looking at few of the bytes. */
export function* partsOf(json: Uint8Array): Generator<Part> {
  const opening = json.findIndex((byte) => byte === BRACE || byte === OPENING);
  const isList = json[opening] === OPENING;
  let start = opening + 1;
  let value = start;
  let count = 0;
  let name: string | undefined;
  let depth = 0;
  for (let at = start; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === QUOTE) {
      const end = endOfText(json, at + 1);
      if (depth === 0 && !isList) name ??= JSON.parse(decoder.decode(json.subarray(at, end + 1))) as string;
      at = end;
    } else if (byte === COLON && depth === 0) {
      value = at + 1;
    } else if (byte === OPENING || byte === BRACE) {
      const end = endOfNumbers(json, at);
      if (end === undefined) depth += 1;
      else at = end;
    } else if (byte === COMMA || byte === CLOSING || byte === END_BRACE) {
      if (depth > 0) {
        if (byte !== COMMA) depth -= 1;
        continue;
      }
      if (isList) yield { name: String(count), start, value: start, end: at };
      else if (name !== undefined) yield { name, start, value, end: at };
      if (byte !== COMMA) return;
      start = at + 1;
      count += 1;
      name = undefined;
    }
  }
}

/** Where the list that begins here ends, if there is nothing but numbers in it. */
function endOfNumbers(json: Uint8Array, start: number): number | undefined {
  if (json[start] !== OPENING || !isNumber(json, start + 1)) return undefined;
  const end = json.indexOf(CLOSING, start);
  const others = [QUOTE, OPENING, BRACE].map((byte) => json.indexOf(byte, start + 1));
  return others.some((at) => at !== -1 && at < end) ? undefined : end;
}

/** Where the text that begins here has its closing quote. */
function endOfText(json: Uint8Array, start: number): number {
  for (let end = json.indexOf(QUOTE, start); end !== -1; end = json.indexOf(QUOTE, end + 1)) {
    let slashes = 0;
    while (json[end - 1 - slashes] === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
  return json.length;
}

/** Whether the next that is no space is a number's beginning. */
function isNumber(json: Uint8Array, start: number): boolean {
  let at = start;
  while (json[at] === 32 || json[at] === 10 || json[at] === 13 || json[at] === 9) at += 1;
  const byte = json[at] ?? 0;
  return byte === 45 || (byte >= 48 && byte <= 57);
}
