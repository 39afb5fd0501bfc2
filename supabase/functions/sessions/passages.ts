/** What is found for a segment among the documents of its workspace: nothing, while there is no retrieval. */
import type { Claim, Passage } from './verdict.ts';

/** A quote that stands in its passage. */
export interface Citation {
  chunk_id: string;
}

/** The passages that a model is given with a segment. */
export async function passagesFor(_workspace_id: string, _said: string): Promise<Passage[]> {
  return [];
}

/** The citations whose quotes stand in passages that the model was given. */
export async function citationsOf(_workspace_id: string, _claims: Claim[], _passages: Passage[]): Promise<Citation[]> {
  return [];
}

/** What is stored of a verdict's citations. */
export function toSources(_citations: Citation[]) {
  return { rag_documents: [], rag_sources: [] };
}
