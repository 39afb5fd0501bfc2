/** Following an answer's stream from anywhere, by its journal in Postgres, and stopping it. */
import type { Caller } from '../_shared/auth.ts';
import { database, run } from '../_shared/database.ts';
import type { Json } from '../_shared/database.types.ts';
import { ApiError, errorBody, errorResponse, invalidRequest } from '../_shared/errors.ts';
import { ofThisRequest } from '../_shared/origin.ts';
import { isUuid } from '../_shared/text.ts';

/** The journal is asked again after so long, ms: the first where events come, up to the second where none do. */
const FIRST_WAIT = 250;
const LONGEST_WAIT = 1_000;
/** A client that hears nothing gets a comment so often, ms. */
const KEEP_ALIVE = 10_000;
/** After so long the client is to connect again, ms: a function lives no longer than 150 s. */
const LONGEST_FOLLOWED = 120_000;
/** A person, or a key, follows so many streams of one process at once: each asks Postgres again and again. */
const MOST_FOLLOWED = 20;
/** How long the answer to a stop waits for the stream's end, ms. */
const STOP_WAITS = 2_000;

/** Which answer is meant, and who asks. */
export interface WantedAnswer {
  caller: Caller;
  conversationId: string;
  messageId: string;
  requestId: string;
}

interface Batch {
  first_event: number;
  last_event: number;
  events: string;
}

/** What `read_message_events` answers. */
interface Events {
  batches: Batch[];
  ending?: {
    is_kept: boolean;
    error?: { code: string; message: string; status: number; request_id?: string };
    settlement?: Json;
  };
}

/** How many streams each person, or key, follows now. */
const followed = new Map<string, number>();

/**
 * Answers `GET …/messages/{id}/stream`: the events after `Last-Event-ID` (or `?after=`), what comes of them, and how it
 * ended. Throws 400 `invalid_request`, 404 `not_found`, 410 `stream_expired` where they are no longer kept, 429
 * `rate_limited` to who follows `MOST_FOLLOWED`.
 */
export async function followAnswer(http: Request, wanted: WantedAnswer): Promise<Response> {
  const after = readAfter(http);
  const leave = takePlace(wanted.caller);
  try {
    const first = await readEvents(wanted, after);
    // Where they begin too late now, the status says so; later the stream does.
    if (first.ending && !first.ending.is_kept) throw expired();
    requireNext(first.batches[0], after);
    return streamOf(wanted, first, after, leave);
  } catch (error) {
    leave();
    throw error;
  }
}

function streamOf(wanted: WantedAnswer, first: Events, after: number, leave: () => void): Response {
  const steps = follow(wanted, first, after);
  // The session of who follows is asked for at each poll.
  const next = ofThisRequest(() => steps.next());
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await next();
        if (!done) return controller.enqueue(encoder.encode(value));
        leave();
        controller.close();
      },
      async cancel() {
        leave();
        await steps.return();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  });
}

/** Counts one more stream that the caller follows; what it returns ends that. Throws 429 `rate_limited`. */
function takePlace({ user_id, api_key_hash }: Caller): () => void {
  const who = user_id ?? api_key_hash;
  const count = followed.get(who) ?? 0;
  if (count >= MOST_FOLLOWED) {
    const message = `At most ${MOST_FOLLOWED} streams are followed at once, and you follow as many: leave one of them.`;
    throw new ApiError(429, 'rate_limited', message, null, { 'retry-after': '5' });
  }
  followed.set(who, count + 1);
  let isLeft = false;
  const leave = () => {
    clearTimeout(end);
    if (isLeft) return;
    isLeft = true;
    const others = (followed.get(who) ?? 1) - 1;
    if (others > 0) followed.set(who, others);
    else followed.delete(who);
  };
  const end = setTimeout(leave, LONGEST_FOLLOWED + KEEP_ALIVE); // a client that vanished while nothing was read
  return leave;
}

/** Answers `POST …/messages/{id}/stop` with the answer's state, if it can be that after its end. Throws 403, 404. */
export async function stopAnswer(wanted: WantedAnswer): Promise<Response> {
  for (const until = Date.now() + STOP_WAITS; ; await pause(FIRST_WAIT)) {
    const answer = await run(() => database.rpc('stop_message', namesOf(wanted)));
    const { status } = answer as { status: string };
    if (status !== 'sending' || Date.now() > until) return Response.json(answer);
  }
}

async function* follow(wanted: WantedAnswer, first: Events, after: number): AsyncGenerator<string, void, void> {
  const until = Date.now() + LONGEST_FOLLOWED;
  let told = after;
  let toldAt = Date.now();
  let wait = FIRST_WAIT;
  try {
    for (let read = first; ; read = await readEvents(wanted, told)) {
      for (const batch of read.batches) {
        requireNext(batch, told);
        const unread = batch.events.split('\n\n').slice(Math.max(told + 1 - batch.first_event, 0));
        told = batch.last_event;
        toldAt = Date.now();
        yield unread.join('\n\n');
      }
      if (read.ending) {
        if (told === 0 && !read.ending.is_kept) throw expired(); // it was not streamed
        yield endOf(read.ending, wanted.requestId);
        return;
      }
      if (Date.now() > until) {
        yield ': connect again\nretry: 500\n\n';
        return;
      }
      if (Date.now() - toldAt > KEEP_ALIVE) {
        toldAt = Date.now();
        yield ':\n\n';
      }
      wait = read.batches.length > 0 ? FIRST_WAIT : Math.min(wait * 1.5, LONGEST_WAIT);
      await pause(wait);
    }
  } catch (thrown) {
    yield eventOf(await errorResponse(thrown, wanted.requestId).json());
  }
}

/** As the stream itself ended. */
function endOf({ error, settlement }: NonNullable<Events['ending']>, requestId: string): string {
  if (error) {
    const { code, message, status, request_id = requestId } = error;
    return eventOf(errorBody(new ApiError(status, code, message), request_id));
  }
  return `${settlement ? `: credits ${JSON.stringify(settlement)}\n\n` : ''}data: [DONE]\n\n`;
}

const eventOf = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;

/** Throws where events are missing between so many and the next batch. */
function requireNext(next: Batch | undefined, after: number): void {
  if (next && next.first_event > after + 1) throw expired();
}

function expired(): ApiError {
  return new ApiError(410, 'stream_expired', 'Events of this answer are no longer kept. Read the message itself.');
}

async function readEvents(wanted: WantedAnswer, after: number): Promise<Events> {
  return (await run(() => database.rpc('read_message_events', { ...namesOf(wanted), after }))) as unknown as Events;
}

function namesOf({ caller, conversationId, messageId }: WantedAnswer) {
  requireIds(conversationId, messageId);
  return { ...caller, conversation_id: conversationId, message_id: messageId };
}

/** Throws 404 `not_found` for what is no id of a conversation, and of a message in it. */
export function requireIds(conversationId: string, messageId?: string): void {
  for (const [what, id] of Object.entries({ conversation: conversationId, message: messageId })) {
    if (id !== undefined && !isUuid(id)) {
      throw new ApiError(404, 'not_found', `There is no ${what} ${JSON.stringify(id)}.`);
    }
  }
}

/** The number of the last event that the client has. */
function readAfter(http: Request): number {
  const given = http.headers.get('last-event-id') || new URL(http.url).searchParams.get('after') || '0';
  if (!/^\d{1,9}$/.test(given)) {
    throw invalidRequest('Last-Event-ID (or after) must be the number of an event.', 'last-event-id');
  }
  return Number(given);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
