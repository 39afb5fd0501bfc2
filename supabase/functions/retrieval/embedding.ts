/** Embeddings of passages and queries: AI calls like any other, admitted, charged to the workspace and logged. */
import type { Caller } from '../_shared/auth.ts';
import type { CallDetails } from '../_shared/call-facts.ts';
import { database, run } from '../_shared/database.ts';
import type { Json } from '../_shared/database.types.ts';
import { ApiError } from '../_shared/errors.ts';
import { toStorable } from '../_shared/text.ts';
import { objectsIn } from '../ai/answer.ts';
import { admit } from '../ai/call.ts';
import { embeddings } from '../ai/embeddings.ts';
import { answerAdmitted, worstCaseOf } from '../ai/endpoint.ts';

/** Of a query so much is embedded, its end, characters: what models take at least. */
const LONGEST_QUERY = 4_000;
/** For so long it is tried to keep what was paid for, ms: a large document that is being loaded keeps it waiting. */
const PATIENCE = 40_000;

/** For whom a text is embedded: `details` describe the call in the log. */
export interface Occasion {
  caller: Caller;
  details: CallDetails;
  /** It is of a session, whose end pays for it. */
  isOfSession?: boolean;
}

/** A query as numbers, by which model, and what that cost. */
export interface QueryEmbedding {
  embedding: number[];
  model: string;
  /** Of its row in the log. */
  request_id: string;
  prompt_tokens: number;
  credits_charged: number;
}

/** What a batch of passages came to. */
export interface EmbeddedBatch {
  /** null: no model is set, or there is no extension vector. */
  model: string | null;
  embedded: number;
  /** Passages that still wait. */
  waiting: number;
  credits_charged: number;
}

interface Claim {
  workspace_id: string;
  model: string | null;
  passages: { document_id: string; content_hash: string; content: string }[];
  waiting: number;
}

/**
 * Embeds what is looked for in a workspace's documents; undefined where that would find nothing: no model is set
 * (`retrieval_embedding_model`), there is no extension vector, or no passage of the workspace is embedded by it.
 * Throws as any AI call does.
 */
export async function embedQuery(
  workspace_id: string,
  query: string,
  { caller, ...occasion }: Occasion,
): Promise<QueryEmbedding | undefined> {
  const text = [...query.trim()].slice(-LONGEST_QUERY).join('').toWellFormed();
  const model = text && (await run(() => database.rpc('query_embedding_model', { workspace_id })));
  if (!model) return undefined;
  const asked = { caller: { ...caller, workspace_id }, ...occasion };
  const { vectors, ...cost } = await embed(model, [text], asked, 'retrieval query');
  const [embedding] = vectors;
  return embedding && { embedding, model, ...cost };
}

/** Embeds the next passages of a workspace that have no embedding by the model that is set. Throws as any AI call does. */
export async function embedPassages({ caller, details }: Occasion): Promise<EmbeddedBatch> {
  const { workspace_id, model, passages, waiting } = (await run(() =>
    database.rpc('claim_passages', caller),
  )) as unknown as Claim;
  if (model === null || passages.length === 0) return { model, embedded: 0, waiting, credits_charged: 0 };
  const store = (vectors: number[][], patience?: number) =>
    run(
      () =>
        database.rpc('store_embeddings', {
          workspace_id,
          model,
          embeddings: passages.map(({ document_id, content_hash }, at) => ({
            ...{ document_id, content_hash },
            embedding: vectors[at] ?? null,
          })) as unknown as Json,
        }),
      patience,
    );
  try {
    const texts = passages.map(({ content }) => content);
    const { vectors, credits_charged } = await embed(model, texts, { caller, details }, 'retrieval passages');
    const embedded = await store(vectors, PATIENCE);
    return { model, embedded, waiting: waiting + passages.length - embedded, credits_charged };
  } catch (error) {
    await store([]).catch(() => undefined); // another request may embed them at once
    throw error;
  }
}

/** One call of an embedding model. What is no list of numbers for each text is missing in `vectors`. */
async function embed(
  model: string,
  input: string[],
  { caller, details, isOfSession = false }: Occasion,
  scene_description: string,
) {
  const request = { model, input };
  const requestId = `req_${crypto.randomUUID().replaceAll('-', '')}`;
  const call = await admit(
    {
      caller,
      requestId,
      model,
      request,
      details: { ...details, scene: 'embedding', scene_description: toStorable(scene_description) },
      repeatable: {},
      isMessage: false,
      isIncluded: isOfSession,
    },
    worstCaseOf(embeddings, request, new Map()),
  );
  if ('kept' in call) throw new ApiError(500, 'internal_error', 'Something went wrong on our side.'); // without a key none is
  call.logContent = 'none'; // passages are kept where they are, and a query may be what somebody said in a session
  const answer = await answerAdmitted(embeddings, request, call);
  const { data, usage } = await answer.json();
  const vectors: number[][] = [];
  for (const [at, { index, embedding }] of objectsIn(data).entries())
    if (isVector(embedding)) vectors[typeof index === 'number' ? index : at] = embedding;
  return {
    vectors,
    request_id: requestId,
    prompt_tokens: Number(usage?.prompt_tokens) || 0,
    credits_charged: Number(answer.headers.get('x-credits-charged')) || 0,
  };
}

/** Whether Postgres can keep it as an embedding: numbers of its `real`, not all of them 0. */
function isVector(value: unknown): value is number[] {
  const isReal = (number: unknown) => typeof number === 'number' && Math.abs(number) <= 1e30;
  return Array.isArray(value) && value.length <= 4_000 && value.every(isReal) && value.some((number) => number !== 0);
}
