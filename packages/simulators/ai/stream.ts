/** A stream of server-sent events, one chunk of bytes for each, sent only as fast as the client takes them. */
import { ApiError, ConnectionCut } from './errors.ts';
import { type Call, FLUSH_MS, pause } from './protocol.ts';

/** One event: its JSON, how many tokens of the answer it carries, and whether it counts as a chunk of content. */
export interface StreamEvent {
  data: object;
  tokens: number;
  isContent: boolean;
}

/** Sends the events, and the failures that the directive asks for. */
export function streamAnswer(call: Call, events: Iterable<StreamEvent>): Response {
  const steps = streamSteps(call, events);
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const step = await steps.next();
        if (step.done) controller.close();
        else controller.enqueue(encoder.encode(step.value));
      },
      async cancel() {
        await steps.return();
      },
    },
    // Nothing is made ahead of what the connection has taken: what was delivered stays countable.
    { highWaterMark: 0 },
  );
  return new Response(stream, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  });
}

/** The bytes of the stream step by step. Throwing destroys the connection; being stopped means that the client left. */
async function* streamSteps(call: Call, events: Iterable<StreamEvent>): AsyncGenerator<string, void, void> {
  try {
    yield* disturbedSteps(call, events);
  } finally {
    if (call.entry.outcome === 'open') call.entry.outcome = 'canceled';
  }
}

async function* disturbedSteps(call: Call, events: Iterable<StreamEvent>): AsyncGenerator<string, void, void> {
  const { directive, entry } = call;
  let opened = false;
  let sent = 0;
  for (const event of events) {
    if (event.isContent) await pause(directive.chunk_delay_ms, call.signal);
    if (opened && sent === directive.cut_after) {
      entry.outcome = 'cut';
      await pause(FLUSH_MS, call.signal);
      throw new ConnectionCut();
    }
    if (opened && sent === directive.error_after) {
      entry.outcome = 'error';
      yield eventOf({ error: new ApiError(500, 'Simulated error in the stream.').toBody() });
      return;
    }
    if (opened && sent === directive.end_after) {
      entry.outcome = 'cut';
      return;
    }
    entry.tokens_delivered += event.tokens;
    yield eventOf(
      directive.sent_at ? { ...event.data, sent_at: performance.timeOrigin + performance.now() } : event.data,
    );
    if (event.isContent) sent += 1;
    if (!opened && directive.malformed) yield 'data: {"id":"chatcmpl-\n\n';
    opened = true;
  }
  if (!directive.no_done) yield 'data: [DONE]\n\n';
  entry.outcome = 'complete';
}

function eventOf(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
