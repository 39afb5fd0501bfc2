/** The embedding that looks for a segment's passages: it takes no credits, and is no condition of an analysis. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newModel, walletOf } from '../ai/helpers.ts';
import { adminPool, sql, type TestUser } from '../support/stack.ts';
import { analyse, bookedOf, newSpeaker, openHoldsOf, outcome, start } from './http_helpers.ts';

/** People whose workspaces have embedded passages, and the models that embed for them. */
const embedders = new Map<string, string>();
let definition = '';

/** As where the extension is, for these workspaces alone: this Postgres has none, so that words find what is found. */
const pretendEmbedding = async (user: TestUser, model: string) => {
  embedders.set(user.id, model);
  await adminPool.query(
    definition.replace(
      /\$function\$[\s\S]*\$function\$/,
      () => `$$ select ('${JSON.stringify(Object.fromEntries(embedders))}'::jsonb) ->> workspace_id::text $$`,
    ),
  );
};
beforeAll(async () => {
  const [row] = await sql<{ text: string }>(
    `select pg_get_functiondef('public.query_embedding_model(uuid)'::regprocedure) as text`,
  );
  definition = row?.text ?? '';
});
afterAll(async () => {
  await adminPool.query(definition);
});

const SAID = 'The caller speaks of a plan that nobody may hear of.';
const queriesOf = (user: TestUser) =>
  sql(
    `select status, scene_description, reference_id, credits_charged::float8 as credits, prompt_tokens as tokens,
       estimated_cost::float8 as cost, request_data::text || response_data::text || attempts::text like '%plan%' as said
     from private.ai_usage_logs where workspace_id = $1 and scene = 'embedding'`,
    [user.id],
  );

test('what a segment is embedded with takes no credits and keeps no words', async () => {
  const speaker = await newSpeaker();
  await sql(`update public.workspaces set ai_log_content = 'full' where id = $1`, [speaker.id]);
  const session = await start(speaker);
  const model = await newModel();
  expect(outcome(await analyse(speaker, session, 1, model, { transcript_segment: SAID }))).toBe('200');
  await pretendEmbedding(speaker, await newModel({ scene: 'embedding', max_output_tokens: 0 }, { input: 10 }));
  const wallet = await walletOf(speaker);
  const answer = await analyse(speaker, session, 2, model, { transcript_segment: SAID });
  expect(outcome(answer)).toBe('200');
  const queries = await queriesOf(speaker);
  expect(queries).toEqual([
    {
      ...{ status: 'success', scene_description: 'retrieval query', reference_id: session, credits: 0, said: null },
      ...{ tokens: expect.any(Number), cost: expect.any(Number) },
    },
  ]);
  expect(queries[0]?.tokens).toBeGreaterThan(0);
  expect(queries[0]?.cost).toBeGreaterThan(0);
  expect((await bookedOf(session)).row).toMatchObject({ analyses: 2, drift: 0 });
  expect(await walletOf(speaker)).toEqual(wallet);
});

test('a segment that cannot be embedded is analysed by its words', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const broken = await newModel({
    ...{ scene: 'embedding', max_output_tokens: 0 },
    upstream_model: 'simulator-embedding[[simulate:{"error":400}]]',
  });
  const model = await newModel();
  for (const [at, embedding] of [broken, 'no-such-model'].entries()) {
    await pretendEmbedding(speaker, embedding);
    expect(outcome(await analyse(speaker, session, at + 1, model, { transcript_segment: SAID }))).toBe('200');
  }
  expect(await openHoldsOf(speaker)).toHaveLength(1);
  expect((await queriesOf(speaker)).map(({ status, credits }) => [status, credits])).toEqual([
    ['failed', 0],
    ['refused', 0],
  ]);
});
