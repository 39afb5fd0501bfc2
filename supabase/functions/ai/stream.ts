/** A chat stream on its way to the client: passed on as it arrives, and read along for usage and the log. */
import { BYTES_OF_A_TOKEN, utf8Length } from './tokenizer.ts';
import { readUsage, type Usage } from './usage.ts';

/** What was read of a stream so far. */
export class StreamReader {
  usage: Usage | undefined;
  /** The provider has sent `[DONE]`, which is not passed on: it goes out once the call is settled. */
  isDone = false;
  /** An error that the provider sent within the stream. It is not passed on: it is worded for us. */
  error: string | undefined;
  readonly #decoder = new TextDecoder();
  readonly #encoder = new TextEncoder();
  readonly #choices = new Map<number, StreamedChoice>();
  #pending = '';
  #bytesOfText = 0;
  #frame: { id?: unknown; created?: unknown; model?: unknown } = {};

  /** With `hidesUsage`, the chunk that carries nothing but usage is kept from a client that did not ask for it. */
  constructor(private readonly hidesUsage: boolean) {}

  /** Takes bytes as they came and returns those to pass on now: whole events, unchanged. */
  read(bytes: Uint8Array): Uint8Array {
    this.#pending += this.#decoder.decode(bytes, { stream: true });
    let passed = '';
    for (let end = eventEnd(this.#pending); end > 0; end = eventEnd(this.#pending)) {
      const event = this.#pending.slice(0, end);
      this.#pending = this.#pending.slice(end);
      if (this.#readEvent(event)) passed += event;
    }
    return this.#encoder.encode(passed);
  }

  /** What is left when the stream has ended without a last blank line. */
  flush(): Uint8Array {
    const rest = this.#pending + this.#decoder.decode();
    this.#pending = '';
    return this.#encoder.encode(rest.trim() !== '' && this.#readEvent(rest) ? rest : '');
  }

  /** The answer as it would have been without streaming, for the log. */
  get answer() {
    const choices = [...this.#choices].map(([index, choice]) => ({ index, ...choice.toMessage() }));
    return { object: 'chat.completion', choices };
  }

  /** The answer is whole: `[DONE]` came or, from providers that leave it out, a finish reason for every choice. */
  get isComplete(): boolean {
    const choices = [...this.#choices.values()];
    return this.isDone || (choices.length > 0 && choices.every((choice) => choice.finishReason !== null));
  }

  /** About how many output tokens have come so far: what was reported, or guessed by the length of the text. */
  get outputSoFar(): number {
    return Math.max(this.usage?.completion ?? 0, Math.ceil(this.#bytesOfText / BYTES_OF_A_TOKEN));
  }

  /** The events that end a stream which we cut off: a finish reason for each choice, usage where it is shown. */
  cutOffEvents(usage: Usage): Uint8Array {
    const { id, created, model } = this.#frame;
    const frame = { id, object: 'chat.completion.chunk', created, model };
    const unfinished = [...this.#choices].filter(([, choice]) => choice.finishReason === null);
    const choices = unfinished.map(([index]) => ({ index, delta: {}, finish_reason: 'length' }));
    const { prompt, completion } = usage;
    const counts = { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
    const events = [{ ...frame, choices }, ...(this.hidesUsage ? [] : [{ ...frame, choices: [], usage: counts }])];
    return this.#encoder.encode(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(''));
  }

  /** All text that was streamed. */
  get text(): string {
    return [...this.#choices.values()].map((choice) => choice.text).join('');
  }

  /** Reads one event; false where the client is not to see it. */
  #readEvent(event: string): boolean {
    const data = event.match(/^data: ?(.*)$/m)?.[1]?.trim();
    if (data === undefined) return true;
    if (data === '[DONE]') {
      this.isDone = true;
      return false;
    }
    const chunk = parseObject(data);
    if (!chunk) return true;
    if (chunk.error) {
      this.error = JSON.stringify(chunk.error);
      return false;
    }
    this.#frame = chunk;
    const usage = readUsage(chunk.usage);
    this.usage = usage ?? this.usage;
    const choices = Array.isArray(chunk.choices) ? chunk.choices : [];
    for (const choice of choices) this.#addChoice(choice);
    return !(this.hidesUsage && usage && choices.length === 0);
  }

  #addChoice(choice: { index?: number; delta?: Delta; finish_reason?: string | null }) {
    const index = choice.index ?? 0;
    const known = this.#choices.get(index) ?? new StreamedChoice();
    this.#choices.set(index, known);
    this.#bytesOfText += known.add(choice.delta ?? {}, choice.finish_reason ?? null);
  }
}

interface ToolCallDelta {
  index?: number;
  id?: string;
  function?: { name?: string; arguments?: string };
}

interface Delta {
  content?: string | null;
  reasoning_content?: string | null;
  reasoning?: string | null;
  tool_calls?: ToolCallDelta[];
}

class StreamedChoice {
  #content = '';
  #reasoning = '';
  finishReason: string | null = null;
  readonly #toolCalls = new Map<number, { id: string; name: string; arguments: string }>();

  /** Takes a piece; returns how many bytes of text it had. */
  add(delta: Delta, finishReason: string | null): number {
    const { content, reasoning_content: thoughts, reasoning = thoughts } = delta;
    this.#content += content ?? '';
    this.#reasoning += reasoning ?? '';
    let bytes = utf8Length(content ?? '') + utf8Length(reasoning ?? '');
    this.finishReason = finishReason ?? this.finishReason;
    for (const part of delta.tool_calls ?? []) {
      const index = part.index ?? this.#toolCalls.size;
      const call = this.#toolCalls.get(index) ?? { id: '', name: '', arguments: '' };
      call.id ||= part.id ?? '';
      call.name ||= part.function?.name ?? '';
      call.arguments += part.function?.arguments ?? '';
      bytes += utf8Length(part.function?.arguments ?? '');
      this.#toolCalls.set(index, call);
    }
    return bytes;
  }

  get text(): string {
    return (
      this.#content + this.#reasoning + [...this.#toolCalls.values()].map((call) => call.name + call.arguments).join('')
    );
  }

  toMessage() {
    const toolCalls = [...this.#toolCalls.values()].map(({ id, name, arguments: args }) => ({
      id,
      type: 'function',
      function: { name, arguments: args },
    }));
    const message = {
      role: 'assistant',
      content: this.#content,
      ...(toolCalls.length ? { tool_calls: toolCalls } : {}),
    };
    return { message, finish_reason: this.finishReason };
  }
}

/** Where the first event ends, its blank line included; 0 while it has not. Lines end in LF or CRLF. */
function eventEnd(text: string): number {
  const end = text.match(/\r?\n\r?\n/);
  return end?.index === undefined ? 0 : end.index + end[0].length;
}

function parseObject(data: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(data);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
