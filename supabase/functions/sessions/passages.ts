/** What is found for a segment among the documents of its workspace, and what of it a verdict may cite. */
import type { Claim, Passage } from './verdict.ts';

export interface Citation {
  chunk_id: string;
}
export async function passagesFor(_workspace_id: string, _said: string): Promise<Passage[]> {
  return [];
}
export async function citationsOf(_workspace_id: string, _claims: Claim[], _passages: Passage[]): Promise<Citation[]> {
  return [];
}
export function toSources(_citations: Citation[]) {
  return { rag_documents: [], rag_sources: [] };
}
