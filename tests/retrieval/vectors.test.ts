/** Search by embeddings, on a Postgres that has pgvector. */
import { randomUUID } from 'node:crypto';
import type { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { newVectorDatabase } from './pglite.ts';

const DIMENSIONS = 64;
const MODEL = 'a-model';
/** More of them only where there is time: the index over 20,000 takes a quarter of a minute in this Postgres. */
const SIZES = runs(1) > 1 ? [20, 2_000, 20_000] : [20, 300, 1_000];
/** Up to which all are compared; the largest workspace is above it. */
const EXACT_UP_TO = runs(1) > 1 ? 5_000 : 500;
const OTHERS = 50;
const WANTED = 10;

let db: PGlite;
const vectors = new Map<number, number[][]>();
const workspaces = new Map<number, string>();

// The same numbers each time: a generator of Lehmer's, and by it a normal distribution round some topics.
let seed = 20261101;
const random = (): number => {
  seed = (seed * 48271) % 2147483647;
  return seed / 2147483647;
};
const normal = (): number => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
const topics = Array.from({ length: 100 }, () => Array.from({ length: DIMENSIONS }, normal));
const newVector = (): number[] => {
  const topic = topics[Math.floor(random() * topics.length)] ?? [];
  const vector = topic.map((number) => number + 0.7 * normal());
  const length = Math.hypot(...vector);
  return vector.map((number) => number / length);
};

async function rows<T>(text: string, params: unknown[] = []): Promise<T[]> {
  return (await db.query<T>(text, params)).rows;
}

/** A workspace with a document of so many embedded passages; a passage's hash is its number. */
async function newWorkspace(size: number, made: number[][] = Array.from({ length: size }, newVector)): Promise<string> {
  const [workspace, document] = [randomUUID(), randomUUID()];
  await rows(`insert into public.workspaces (id, name) values ($1, 'w')`, [workspace]);
  await rows(
    `insert into public.rag_documents (id, workspace_id, title, source, content, content_hash) values ($1, $2, 'd', 'd', 'x', 'x')`,
    [document, workspace],
  );
  for (let from = 0; from < size; from += 2_000) {
    const batch = made.slice(from, from + 2_000);
    await rows(
      `insert into private.rag_embeddings (document_id, content_hash, workspace_id, embedding_model, dimensions, embedding)
       select $1, u.hash, $2, $3, $4::integer, u.numbers::real[] from unnest($5::text[], $6::text[]) u (hash, numbers)`,
      [document, workspace, MODEL, DIMENSIONS, batch.map((_, at) => String(from + at)), batch.map(toText)],
    );
  }
  vectors.set(size, made);
  workspaces.set(size, workspace);
  return workspace;
}

const toText = (numbers: number[]): string => `{${numbers.map((number) => number.toFixed(7))}}`;

/** What a search by a vector finds: numbers of passages, the nearest first. */
async function nearest(workspace: string, wanted: number[], exactUpTo = EXACT_UP_TO, model = MODEL): Promise<number[]> {
  const found = await rows<{ content_hash: string }>(
    `select content_hash from private.passages_by_vector($1, $2, $3, $4, $5) order by place`,
    [workspace, model, toText(wanted), WANTED, exactUpTo],
  );
  return found.map(({ content_hash }) => Number(content_hash));
}

/** What there is to find, computed here. */
function truth(size: number, wanted: number[]): number[] {
  const products = (vectors.get(size) ?? []).map((vector, place) => ({
    place,
    product: vector.reduce((sum, number, at) => sum + number * (wanted[at] ?? 0), 0),
  }));
  return products
    .sort((a, b) => b.product - a.product)
    .slice(0, WANTED)
    .map(({ place }) => place);
}

beforeAll(async () => {
  db = await newVectorDatabase();
  await db.exec('set session_replication_role = replica');
  for (const size of SIZES) await newWorkspace(size);
  const [small, first] = [vectors.get(20) ?? [], workspaces.get(20) ?? ''];
  for (let other = 0; other < OTHERS; other += 1) await newWorkspace(20);
  vectors.set(20, small);
  workspaces.set(20, first);
  await rows('select private.index_embeddings($1, $2)', [MODEL, DIMENSIONS]);
  await db.exec('set session_replication_role = origin; analyze private.rag_embeddings');
}, 300_000);
afterAll(() => db.close());

test('the migrations make the extension where it is available, again and again', async () => {
  expect(await rows('select private.enable_vector_search() as is_there, private.vector_schema() as schema')).toEqual([
    { is_there: true, schema: 'extensions' },
  ]);
});

describe('what is nearest', () => {
  test.each(SIZES)('of %i passages of a workspace among others', async (size) => {
    const found = [];
    for (let tries = 0; tries < 20; tries += 1) {
      const wanted = newVector();
      const places = await nearest(workspaces.get(size) ?? '', wanted);
      expect(places).toHaveLength(WANTED);
      found.push(...truth(size, wanted).map((place) => places.includes(place)));
    }
    expect(found.filter(Boolean).length / found.length).toBeGreaterThanOrEqual(0.95);
  });

  test('of a small workspace, where only the index over all is asked', async () => {
    const [workspace, wanted] = [workspaces.get(20) ?? '', (vectors.get(SIZES[2] ?? 0) ?? [])[0] ?? []];
    await db.exec('set enable_sort = off; set enable_bitmapscan = off');
    try {
      // What a search without more would get of it: this is what has to be better.
      const naive = await rows(
        `select from private.rag_embeddings e
         where e.workspace_id = $1 and e.embedding_model = '${MODEL}' and e.dimensions = ${DIMENSIONS}
         order by (e.embedding::extensions.halfvec(${DIMENSIONS})) operator(extensions.<#>) $2::real[]::extensions.halfvec(${DIMENSIONS})
         limit ${WANTED}`,
        [workspace, toText(wanted)],
      );
      expect(naive.length).toBeLessThan(WANTED);
      expect(await nearest(workspace, wanted, 0)).toEqual(truth(20, wanted));
    } finally {
      await db.exec('reset enable_sort; reset enable_bitmapscan');
    }
  });

  test('is of the same model and length alone', async () => {
    const workspace = workspaces.get(20) ?? '';
    expect(await nearest(workspace, newVector(), EXACT_UP_TO, 'another-model')).toEqual([]);
    expect(await nearest(workspace, newVector().slice(1))).toEqual([]);
    expect(await nearest(randomUUID(), newVector())).toEqual([]);
  });
});

describe('embeddings of a document', () => {
  const person = randomUUID();
  const claim = async (minutesAgo = 0) => {
    const at = new Date(Date.now() - minutesAgo * 60_000).toISOString();
    const [row] = await rows<{ claim: Claim }>('select public.claim_passages($1, at => $2) as claim', [person, at]);
    return row?.claim as Claim;
  };
  type Passage = { document_id: string; content_hash: string; content: string };
  type Claim = { model: string | null; passages: Passage[]; waiting: number };
  const store = async (passages: Passage[], embeddingOf: (text: string) => number[] | null) => {
    const embeddings = passages.map(({ content, ...key }) => ({ ...key, embedding: embeddingOf(content) }));
    const [row] = await rows<{ stored: number }>('select public.store_embeddings($1, $2, $3) as stored', [
      person,
      'm-3',
      JSON.stringify(embeddings),
    ]);
    return row?.stored;
  };
  const load = (title: string, content: string) =>
    rows('select public.load_document($1, $2, workspace_id => $3)', [title, content, person]);
  const setModel = (model: string) =>
    rows(
      `update public.system_config set config_value = to_jsonb($1::text) where config_key = 'retrieval_embedding_model'`,
      [model],
    );
  const modelOfQueries = async () =>
    (await rows<{ m: string }>('select public.query_embedding_model($1) m', [person]))[0]?.m;

  beforeAll(async () => {
    await rows(`insert into auth.users (id, email) values ($1, 'a@example.test')`, [person]);
    await load('cats', 'Cats sleep.');
    await load('dogs', 'Dogs bark.');
  });

  test('are made for each passage once, by the model that is set', async () => {
    expect(await claim()).toMatchObject({ model: null, passages: [] });
    await setModel('m-3');
    expect(await modelOfQueries()).toBeNull();
    const first = await claim(7);
    expect(first).toMatchObject({ model: 'm-3', waiting: 0 });
    expect(first.passages.map(({ content }) => content).sort()).toEqual(['Cats sleep.', 'Dogs bark.']);
    expect(await claim(6)).toMatchObject({ passages: [], waiting: 0 }); // a call under way has them
    const late = await claim();
    expect(late.passages).toHaveLength(2); // which was lost
    expect(await store(late.passages, () => null)).toBe(0);
    const again = await claim();
    expect(again.passages).toHaveLength(2); // or failed
    expect(await store(again.passages, (text) => (text.startsWith('Cats') ? [3, 0, 0] : [0, 0, 4]))).toBe(2);
    expect((await claim()).passages).toEqual([]);
    expect(await modelOfQueries()).toBe('m-3');
  });

  test('find what no word finds, and are fused with what words find', async () => {
    const find = (query: string, embedding: number[] | null) =>
      rows(
        `select title, word_rank, vector_rank, round(score::numeric, 6)::float8 as score
         from public.search_passages($1, $2, $3) order by score desc, title`,
        [person, query, embedding && toText(embedding)],
      );
    expect(await find('felines', null)).toEqual([]);
    expect(await find('felines', [1, 0, 0.1])).toEqual([
      { title: 'cats', word_rank: null, vector_rank: 1, score: 0.016393 },
      { title: 'dogs', word_rank: null, vector_rank: 2, score: 0.016129 },
    ]);
    expect(await find('barking', [1, 0, 0.1])).toEqual([
      { title: 'dogs', word_rank: 1, vector_rank: 2, score: 0.032522 },
      { title: 'cats', word_rank: null, vector_rank: 1, score: 0.016393 },
    ]);
    expect(await find('barking', [1, 0])).toMatchObject([{ title: 'dogs', vector_rank: null }]); // of another length
  });

  test('are made again for a new version, and by another model', async () => {
    await load('cats', 'Cats purr.');
    expect((await claim()).passages.map(({ content }) => content)).toEqual(['Cats purr.']);
    await setModel('m-4');
    expect(await modelOfQueries()).toBeNull();
    expect((await claim()).passages.map(({ content }) => content)).toContain('Dogs bark.');
  });
});
