/** `POST /{id}/analyze-partial`: an AI call as any other, whose answer is an analysis of a session. */
import type { Caller } from '../_shared/auth.ts';
import { readCallDetails } from '../_shared/call-facts.ts';
import type { Json } from '../_shared/database.types.ts';
import { keepAlive } from '../_shared/edge-runtime.ts';
import { ApiError, invalidRequest } from '../_shared/errors.ts';
import { sha256 } from '../_shared/hash.ts';
import type { Loose } from '../ai/answer.ts';
import { admit, type Call, fail, finish, keptAnalysis } from '../ai/call.ts';
import { answerAdmitted, type Endpoint, readAnswer, worstCaseOf } from '../ai/endpoint.ts';
import { limitedChat } from '../ai/notes.ts';
import type { ChatRequest } from '../ai/request.ts';
import { type Answer, type Candidate, callUpstream, noteFailure, upstreamError } from '../ai/upstream.ts';
import { sumOf } from '../ai/usage.ts';
import type { CheckedCitation } from '../retrieval/passages.ts';
import { contextOf, type SessionContext } from './context.ts';
import { citationsOf, type Found, passagesFor, toSources } from './passages.ts';
import { readFields, shapes } from './request.ts';
import { type Judgement, judgementOf, MOST_PASSAGES, repairOf, requestFor, VERDICT_TOKENS } from './verdict.ts';

/** A passage has at most 1,200 characters, each of at most four bytes of UTF-8: a token is a byte at least. */
const TOKENS_OF_A_PASSAGE = 4_800;
/** Tags and ids around passages, and what a model is told of a fault. */
const TOKENS_AROUND = 1_000;

/**
 * Analyses a segment. Throws ApiError as any AI call does; 409 `idempotency_conflict` where another segment has the number,
 * `analysis_running` while the same is being analysed, and 502 `upstream_error` where the model twice gave no verdict.
 */
export async function analyse(http: Request, caller: Caller, requestId: string, sessionId: string): Promise<Response> {
  const { sequence, ...segment } = await readFields(http, shapes.analysis);
  const { transcript_segment: said, duration_seconds, started_at } = segment;
  const context = await contextOf(caller, sessionId);
  const model = segment.model ?? context.model;
  if (model === '') throw invalidRequest('Name a model: this project has none for sessions.', 'model');
  const request = requestFor(model, context.instructions, said, []);
  const call = await admit(
    {
      ...{ caller, requestId, model, request, repeatable: {} },
      details: { ...readCallDetails(http.headers), scene: 'session_analysis' },
      analysis: {
        session_id: sessionId,
        sequence_number: sequence,
        request_hash: sha256(JSON.stringify([said, duration_seconds, started_at, segment.model])),
        segment: { characters: [...said].length, duration_seconds, started_at: started_at ?? undefined },
      },
    },
    worstCaseOfTwo(request),
  );
  if ('kept' in call) return new Response(call.kept.body, { headers: { 'content-type': call.kept.contentType } });
  const work = judge(call, request, said, context, caller);
  keepAlive(work);
  return work;
}

/** An answer, and another one where the first was no verdict, both with as many passages as there may be. */
function worstCaseOfTwo(request: ChatRequest) {
  const once = worstCaseOf(limitedChat, request, new Map());
  const each = once.input_tokens + MOST_PASSAGES * TOKENS_OF_A_PASSAGE + TOKENS_AROUND;
  return {
    ...once,
    input_tokens: 2 * each + VERDICT_TOKENS,
    max_output_tokens: 2 * VERDICT_TOKENS,
  };
}

async function judge(
  call: Call,
  { model }: ChatRequest,
  said: string,
  { workspace_id: workspace = '', instructions }: SessionContext,
  caller: Caller,
): Promise<Response> {
  const details = { ...call.details, reference_id: call.analysis?.session_id };
  const found = await passagesFor(workspace, said, { caller, details }).catch(async (error) => {
    throw await fail(call, error);
  });
  const request = requestFor(model, instructions, said, found.passages);
  call.request = request;
  return answerAdmitted(verdicts({ call, request, workspace, ...found }), request, call);
}

/** A segment that is being analysed. */
interface Analysis extends Found {
  call: Call;
  request: ChatRequest;
  workspace: string;
}

/** A chat whose answer is a verdict on a segment. */
function verdicts(analysis: Analysis): Endpoint<ChatRequest> {
  return {
    ...limitedChat,
    relay: async (_call, request, answer) => {
      const first = await readJudgement(analysis, request, answer);
      return () => settle(analysis, answer.candidate, first);
    },
  };
}

/** An answer, what it says, and which of its citations stand in their passages. */
interface Read extends Judgement {
  answer: Loose;
  citations: CheckedCitation[];
}

async function readJudgement(analysis: Analysis, request: ChatRequest, whole: Answer): Promise<Read> {
  const { call, passages, workspace } = analysis;
  const { answer, usage } = await readAnswer(limitedChat, request, whole);
  // Whatever comes of it, it was used.
  call.used = sumOf(call.used, usage);
  const judgement = judgementOf(answer);
  const citations = await citationsOf(workspace, judgement.claims, passages);
  const isWhole = citations.length === judgement.claims.length;
  const fault = isWhole ? judgement.fault : 'a quote does not stand in the passage whose id it has';
  return { ...judgement, fault, answer, citations };
}

/** Ends the call with a verdict: the first, or a second one whose quotes that are none are left out. */
async function settle(analysis: Analysis, candidate: Candidate, first: Read): Promise<Response> {
  const { call } = analysis;
  let last = first;
  let request_count = 1;
  if (first.fault !== undefined && !first.isRefused) {
    noteFailure(call.attempts.at(-1), noVerdict(first));
    request_count = 2;
    const second = await askAgain(analysis, candidate, first).catch((error) => {
      if (first.verdict) return first; // only a quote was wrong
      throw error;
    });
    last = second.verdict || !first.verdict ? second : first;
  }
  if (!last.verdict) throw last.isRefused ? refusedByModel() : noVerdict(last);
  const settlement = await finish(call, {
    status: 'success',
    usage: call.used,
    candidate,
    answer: last.answer,
    verdict: { ...last.verdict, ...toSources(last.citations), request_count } as unknown as Json,
  });
  if (!settlement.analysis) {
    throw new ApiError(409, 'invalid_state', 'The session ended while this segment was analysed. It was not counted.');
  }
  const { body, contentType } = keptAnalysis(settlement);
  return new Response(body, { headers: { 'content-type': contentType } });
}

/** Asks once more, the same model: a call has one price. */
function askAgain(analysis: Analysis, candidate: Candidate, first: Read): Promise<Read> {
  const { call } = analysis;
  const request = repairOf(analysis.request, first);
  call.request = request;
  return callUpstream(
    [candidate],
    limitedChat.path,
    (one) => limitedChat.upstreamBody(request, one, call),
    call.deadline,
    call.attempts,
    (answer) => readJudgement(analysis, request, answer),
  );
}

function refusedByModel(): ApiError {
  return new ApiError(400, 'content_policy_violation', 'The model refused to judge this segment. Nothing was counted.');
}

function noVerdict({ fault, content }: Judgement): ApiError {
  const message = 'The model gave no valid verdict, twice. Nothing was counted: send the segment again.';
  return Object.assign(upstreamError(`no valid verdict: ${fault}`, content, true), { message });
}
