/** What is found for a segment among the documents of its workspace, and what of it a verdict may cite. */
import { ApiError } from '../_shared/errors.ts';
import { embedQuery, type Occasion } from '../retrieval/embedding.ts';
import { type CheckedCitation, checkCitations, findPassages } from '../retrieval/passages.ts';
import { type Claim, MOST_PASSAGES, type Passage } from './verdict.ts';

/** Of a segment so much is looked for, its end, characters. */
const LONGEST_QUERY = 2_000;
/** An embedding is waited for so long, ms: the segment's own call has its time, too. */
const EMBEDDING_WAITS = 10_000;

/** The passages that a model is given with a segment, and the id of the call that embedded it, if one did. */
export interface Found {
  passages: Passage[];
  queryRequestId: string | undefined;
}

/** Finds passages for a segment. Where its embedding fails or is late, its words decide alone. */
export async function passagesFor(workspace_id: string, said: string, occasion: Occasion): Promise<Found> {
  const query = said.slice(-LONGEST_QUERY).toWellFormed();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, EMBEDDING_WAITS, undefined);
  });
  const embedded = await Promise.race([
    embedQuery(workspace_id, query, { ...occasion, isOfSession: true }).catch((error) => {
      // A refusal or a provider's failure is in the log of calls.
      if (!(error instanceof ApiError)) console.error('a segment was not embedded:', error);
      return undefined;
    }),
    late,
  ]);
  clearTimeout(timer);
  const passages = await findPassages(workspace_id, query, embedded, MOST_PASSAGES);
  return { passages, queryRequestId: embedded?.request_id };
}

/** The citations whose quotes stand in passages that the model was given. */
export async function citationsOf(
  workspace_id: string,
  claims: Claim[],
  passages: Passage[],
): Promise<CheckedCitation[]> {
  const given = claims.filter(({ chunk_id }) => passages.some((one) => one.chunk_id === chunk_id));
  return given.length === 0 ? [] : (await checkCitations(workspace_id, given)).citations;
}

/** What is stored of a verdict's citations: the documents, and the quotes with their places. */
export function toSources(citations: CheckedCitation[]) {
  const documents = citations.map(({ document_id, title, source, version }) => ({
    ...{ document_id, title, source, version },
  }));
  return {
    rag_documents: [...new Map(documents.map((document) => [document.document_id, document])).values()],
    rag_sources: citations.map(({ title, source, ...place }) => place),
  };
}
