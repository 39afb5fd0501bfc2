/** What is found for a segment among the documents of its workspace, and what of it a verdict may cite. */
import { database, run } from '../_shared/database.ts';
import type { Json } from '../_shared/database.types.ts';
import { type Claim, MOST_PASSAGES, type Passage } from './verdict.ts';

/** Of a segment so much is looked for, its end, characters. */
const LONGEST_QUERY = 2_000;

/** A quote that stands in its passage, with its document and where in that. */
export interface Citation {
  chunk_id: string;
  document_id: string;
  title: string;
  source: string;
  version: number;
  start_character: number;
  end_character: number;
  quote: string;
}

/** The passages that a model is given with a segment. */
export async function passagesFor(workspace_id: string, said: string): Promise<Passage[]> {
  const query = said.slice(-LONGEST_QUERY).toWellFormed();
  const found = await run(() => database.rpc('find_passages', { workspace_id, query, k: MOST_PASSAGES }));
  return found as unknown as Passage[];
}

/** The citations whose quotes stand in passages that the model was given. */
export async function citationsOf(workspace_id: string, claims: Claim[], passages: Passage[]): Promise<Citation[]> {
  const given = claims.filter(({ chunk_id }) => passages.some((one) => one.chunk_id === chunk_id));
  if (given.length === 0) return [];
  const citations = given as unknown as Json;
  const checked = await run(() => database.rpc('check_citations', { workspace_id, citations }));
  return (checked as unknown as { citations: Citation[] }).citations;
}

/** What is stored of a verdict's citations: the documents, and the quotes with their places. */
export function toSources(citations: Citation[]) {
  const documents = citations.map(({ document_id, title, source, version }) => ({
    ...{ document_id, title, source, version },
  }));
  return {
    rag_documents: [...new Map(documents.map((document) => [document.document_id, document])).values()],
    rag_sources: citations.map(({ title, source, ...place }) => place),
  };
}
