/** A chat stream on its way to the client: passed on as it arrives, and read along for usage and the log. */
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
    known.add(choice.delta ?? {}, choice.finish_reason ?? null);
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
  tool_calls?: ToolCallDelta[];
}

class StreamedChoice {
  #content = '';
  #reasoning = '';
  finishReason: string | null = null;
  readonly #toolCalls = new Map<number, { id: string; name: string; arguments: string }>();

  add(delta: Delta, finishReason: string | null) {
    this.#content += delta.content ?? '';
    this.#reasoning += delta.reasoning_content ?? '';
    this.finishReason = finishReason ?? this.finishReason;
    for (const part of delta.tool_calls ?? []) {
      const index = part.index ?? this.#toolCalls.size;
      const call = this.#toolCalls.get(index) ?? { id: '', name: '', arguments: '' };
      call.id ||= part.id ?? '';
      call.name ||= part.function?.name ?? '';
      call.arguments += part.function?.arguments ?? '';
      this.#toolCalls.set(index, call);
    }
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
