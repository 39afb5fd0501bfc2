/** Passages of a workspace's documents for what a function asks, and the check of what an answer cites of them. */
import { database, run } from '../_shared/database.ts';
import type { Json } from '../_shared/database.types.ts';
import type { QueryEmbedding } from './embedding.ts';

/** A passage that was found, as `search_passages` has it. */
export interface Passage {
  chunk_id: string;
  document_id: string;
  title: string;
  source: string;
  version: number;
  position: number;
  start_character: number;
  end_character: number;
  content: string;
  score: number;
  word_rank: number | null;
  pair_rank: number | null;
  vector_rank: number | null;
}

/** What an answer quotes of a passage. */
export interface Citation {
  chunk_id: string;
  quote: string;
}

/** A citation that stands in its passage: `quote` as it stands there, the range in the document's content. */
export interface CheckedCitation extends Citation {
  document_id: string;
  title: string;
  source: string;
  version: number;
  start_character: number;
  end_character: number;
}

/** The longest query, characters; of a longer one its end is asked for, which was said last. */
const LONGEST_QUERY = 10_000;

/**
 * Finds the best passages for a query in a workspace that the caller was admitted to. With `embedded`, what `embedQuery`
 * returned, also by its embedding.
 */
export async function findPassages(
  workspace_id: string,
  query: string,
  embedded?: Pick<QueryEmbedding, 'embedding' | 'model'>,
  k = 8,
): Promise<Passage[]> {
  const asked = { workspace_id, query: [...query].slice(-LONGEST_QUERY).join('').toWellFormed(), k };
  const near = embedded && { embedding: embedded.embedding, embedding_model: embedded.model };
  return (await run(() => database.rpc('find_passages', { ...asked, ...near }))) as unknown as Passage[];
}

/** Returns the citations that stand word by word in their passage of this workspace, and the others. */
export async function checkCitations(
  workspace_id: string,
  citations: Citation[],
): Promise<{ citations: CheckedCitation[]; refused: unknown[] }> {
  const checked = await run(() =>
    database.rpc('check_citations', { workspace_id, citations: citations as unknown as Json }),
  );
  return checked as unknown as { citations: CheckedCitation[]; refused: unknown[] };
}
