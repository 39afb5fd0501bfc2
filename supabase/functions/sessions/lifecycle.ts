/** Starting, pausing and ending sessions: SQL says whether, under the wallet's lock. */
import type { Caller } from '../_shared/auth.ts';
import { readCallDetails } from '../_shared/call-facts.ts';
import { database, run } from '../_shared/database.ts';
import type { Json } from '../_shared/database.types.ts';
import { ApiError, invalidRequest, type Refusal, refusalError } from '../_shared/errors.ts';
import { readFields, shapes } from './request.ts';

/** How a session stands, as SQL answers it; a refusal is data. */
type Standing = { session: Json; usage: Json; meter: { [name: string]: Json }; started?: boolean } & Partial<Refusal>;

/** Starts a session: 201; 200 where the same start was answered before. Throws ApiError with what SQL refuses. */
export async function startSession(http: Request, caller: Caller, requestId: string): Promise<Response> {
  const { client_id, mode, policy, started_at, metadata } = await readFields(http, shapes.start);
  const started = await run(() =>
    database.rpc('start_session', {
      ...caller,
      client_id: client_id ?? undefined,
      mode: mode ?? undefined,
      policy: policy ?? undefined,
      started_at: started_at ?? undefined,
      metadata: (metadata ?? {}) as Json,
      request_id: requestId,
      details: readCallDetails(http.headers) as unknown as Json,
    }),
  );
  const standing = started as unknown as Standing;
  return answerFor(standing, standing.started ? 201 : 200);
}

/** Pauses a session: its time is not counted until it is resumed. */
export async function pauseSession(http: Request, caller: Caller, session_id: string): Promise<Response> {
  await readFields(http, shapes.nothing);
  return standingAfter(() => database.rpc('pause_session', { ...caller, session_id }));
}

/** Resumes a session that is paused. */
export async function resumeSession(http: Request, caller: Caller, session_id: string): Promise<Response> {
  await readFields(http, shapes.nothing);
  return standingAfter(() => database.rpc('resume_session', { ...caller, session_id }));
}

/** Ends a session without a charge, or with what its rate has for that. */
export async function cancelSession(http: Request, caller: Caller, session_id: string): Promise<Response> {
  await readFields(http, shapes.nothing);
  return standingAfter(() => database.rpc('cancel_session', { ...caller, session_id }));
}

/** Ends a session that went wrong at its client. */
export async function failSession(http: Request, caller: Caller, session_id: string): Promise<Response> {
  const { error_message } = await readFields(http, shapes.failure);
  return standingAfter(() =>
    database.rpc('fail_session', { ...caller, session_id, error_message: error_message ?? undefined }),
  );
}

/** Ends a session and charges it, once: the same again is answered the same. */
export async function completeSession(http: Request, caller: Caller, session_id: string): Promise<Response> {
  const { full_transcript, ended_at } = await readFields(http, shapes.completion);
  return standingAfter(() =>
    database.rpc('complete_session', {
      ...caller,
      session_id,
      // Empty, not null: SQL computes how much room it takes before it looks whether there is one.
      full_transcript: full_transcript ?? '',
      ended_at: ended_at ?? undefined,
    }),
  ).catch((error) => {
    // The operator's limits, which SQL alone knows: how long a transcript, how early an end.
    if (error instanceof ApiError && error.code === 'invalid_request')
      throw invalidRequest(error.message, error.message.startsWith('ended_at') ? 'ended_at' : 'full_transcript');
    throw error;
  });
}

async function standingAfter(query: Parameters<typeof run<Json>>[0]): Promise<Response> {
  return answerFor((await run(query)) as unknown as Standing, 200);
}

function answerFor({ session, usage, meter, ...refusal }: Standing, status: number): Response {
  if (refusal.code !== undefined) throw refusalError(refusal as Refusal);
  return Response.json({ session, usage, ...meter }, { status });
}
