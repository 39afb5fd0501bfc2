/** Passages are embedded by calls that are paid for; loading, embedding and deleting at the same time. */
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { logsOf, newCaller, newKey, newModel, walletOf } from '../ai/helpers.ts';
import { join, newTeam } from '../conversations/helpers.ts';
import { callAtOnce, countDeadlocks, hangUp, inTurn, openCallers, untilBlocked } from '../support/callers.ts';
import { runs } from '../support/runs.ts';
import { adminPool, env, newUser, sql, type TestUser } from '../support/stack.ts';
import { driftOf, newAccounts } from '../support/wallets.ts';

interface Batch {
  model: string | null;
  embedded: number;
  waiting: number;
  credits_charged: number;
}

const embed = (by: string | undefined, workspace?: string) =>
  fetch(`${env.FUNCTIONS_URL}/retrieval/embed`, {
    method: 'POST',
    headers: {
      ...(by ? { authorization: `Bearer ${by}` } : {}),
      ...(workspace ? { 'x-workspace-id': workspace } : {}),
    },
  });
const embedded = async (user: TestUser) => (await (await embed(user.accessToken)).json()) as Batch;
const load = async (user: TestUser, title: string, content: string) => {
  const { error } = await user.client.rpc('load_document', { title, content });
  if (error) throw error;
};
const setModel = (model: string) =>
  sql(
    `update public.system_config set config_value = to_jsonb($1::text) where config_key = 'retrieval_embedding_model'`,
    [model],
  );

test('embedding is for owners and admins, and does nothing where there is no model or no extension', async () => {
  const [owner, member, stranger] = await Promise.all([newUser(), newUser(), newUser()]);
  const team = await newTeam(owner);
  await join(team, member);
  await owner.client.rpc('load_document', { title: 'A title', content: 'A text', workspace_id: team });
  const answer = await embed(owner.accessToken, team);
  expect([answer.status, await answer.json()]).toEqual([
    200,
    { model: null, embedded: 0, waiting: 1, credits_charged: 0 },
  ]);
  const { key } = await newKey(owner);
  expect(await (await embed(key)).json()).toMatchObject({ waiting: 0 }); // a key is for its own workspace
  expect((await embed(key, team)).status).toBe(403);
  expect((await embed(member.accessToken, team)).status).toBe(403);
  expect((await embed(stranger.accessToken, team)).status).toBe(404);
  expect((await embed(stranger.accessToken, 'x')).status).toBe(400);
  expect((await embed(undefined, team)).status).toBe(401);
  expect((await fetch(`${env.FUNCTIONS_URL}/retrieval/nothing`)).status).toBe(404);
});

// From here on as where the extension is: this Postgres has none, and what is embedded is only kept.
let model = '';
let callers: pg.Client[] = [];
let definition = '';
beforeAll(async () => {
  model = await newModel({ scene: 'embedding', max_output_tokens: 0 }, { input: 10 });
  callers = await openCallers(8, 'postgres');
});
const pretendVectors = async () => {
  const [row] = await sql<{ text: string }>(
    `select pg_get_functiondef('private.embedding_model()'::regprocedure) as text`,
  );
  definition = row?.text ?? '';
  await adminPool.query(definition.replace('where private.vector_schema() is not null', ''));
  await setModel(model);
};
afterAll(async () => {
  await adminPool.query(definition);
  await setModel('');
  await hangUp(callers);
});

test('a batch is one call, charged and logged; what is embedded is never paid for again', async () => {
  await pretendVectors();
  const user = await newCaller();
  await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual')`, [user.id]);
  for (const n of [1, 2]) await load(user, `river ${n}`, `${`The river ${n} is long and wide. `.repeat(1_500)}`);
  const before = await walletOf(user);
  let charged = 0;
  let count = 0;
  const rest: number[] = [];
  for (let waiting = 1; waiting > 0; rest.push(waiting)) {
    const answer = await embedded(user);
    expect(answer).toMatchObject({ model });
    expect(answer.embedded).toBeGreaterThan(0);
    expect(answer.credits_charged).toBeGreaterThan(0);
    charged += answer.credits_charged;
    count += answer.embedded;
    waiting = answer.waiting;
  }
  const [kept] = await sql(
    `select count(*)::integer as count, max(dimensions) as numbers from private.rag_embeddings where workspace_id = $1 and embedding is not null`,
    [user.id],
  );
  expect(kept).toEqual({ count, numbers: 1536 });
  const wallet = await walletOf(user);
  expect(wallet).toMatchObject({ held: 0, drift: 0 });
  expect((before?.balance ?? 0) - (wallet?.balance ?? 0)).toBeCloseTo(charged, 6);
  const logs = await logsOf(user);
  expect(logs).toHaveLength(rest.length);
  for (const log of logs)
    expect(log).toMatchObject({
      status: 'success',
      scene: 'embedding',
      scene_description: 'retrieval passages',
      request_data: null, // the passages are kept where they are
    });

  expect(await embedded(user)).toMatchObject({ embedded: 0, waiting: 0, credits_charged: 0 });
  await load(user, 'river 1', `${'The river 1 is long and wide. '.repeat(1_500)}It ends.`);
  expect((await embedded(user)).embedded).toBe(1); // the only new passage
});

test('what cannot be paid for, or fails, is embedded later', async () => {
  const user = await newCaller();
  await load(user, 'river', 'The river is long. [[simulate:{"error": 500}]]');
  const failed = await embed(user.accessToken);
  expect([failed.status, ((await failed.json()) as { error: { code: string } }).error.code]).toEqual([
    502,
    'upstream_error',
  ]);
  expect(await walletOf(user)).toMatchObject({ spent: 0, held: 0 });
  await load(user, 'river', 'The river is long.');
  await sql('select public.debit_user_credits_transaction($1, 3, $2)', [user.id, 'manual']);
  expect((await embed(user.accessToken)).status).toBe(402);
  await sql(`select public.credit_user_credits_transaction($1, 10, 'manual')`, [user.id]);
  expect(await embedded(user)).toMatchObject({ embedded: 1, waiting: 0 }); // at once
  expect(
    await sql(`select status from private.ai_usage_logs where user_id = $1 and status = 'success'`, [user.id]),
  ).toHaveLength(1);
});

test('requests at once embed each passage once', async () => {
  const user = await newCaller();
  await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual')`, [user.id]);
  await load(user, 'river', Array.from({ length: 4_000 }, (_, n) => `The river ${n} is long.`).join(' '));
  const answers = await Promise.all(Array.from({ length: 4 }, () => embedded(user)));
  const [row] = await sql(
    `select count(*)::integer as chunks, (select count(*)::integer from private.rag_embeddings where workspace_id = $1) as embedded
     from public.rag_chunks where workspace_id = $1`,
    [user.id],
  );
  expect(answers.reduce((sum, answer) => sum + answer.embedded, 0)).toBe(row?.chunks);
  expect(row?.embedded).toBe(row?.chunks);
});

const asPerson = (person: string, statement: string): string =>
  `select set_config('request.jwt.claims', '{"sub": "${person}", "role": "authenticated"}', true),
     set_config('role', 'authenticated', true); ${statement}`;

async function teamOf(owner: string, ...admins: string[]): Promise<string> {
  const [made] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
  const id = made?.id ?? '';
  for (const [person, role] of [[owner, 'owner'], ...admins.map((admin) => [admin, 'admin'])])
    await sql('insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, $3)', [
      id,
      person,
      role,
    ]);
  await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual', workspace_id => $2)`, [owner, id]);
  return id;
}

const loading = (team: string, source: string, content: string) =>
  `select (public.load_document('A title', '${content}', '${source}', workspace_id => '${team}')).version as said`;

test('a document that is being loaded keeps no call of its team waiting; other changes of documents, and deletions, wait', async () => {
  const [owner = '', admin = ''] = await newAccounts(2, 3);
  const team = await teamOf(owner, admin);
  const [slow, other, second, deleter] = callers as [pg.Client, pg.Client, pg.Client, pg.Client];
  await slow.query(`begin; ${asPerson(owner, loading(team, 'a', 'The river is long.'))}`);
  await other.query(`set lock_timeout = '3s'`);
  const { rows } = await other.query(
    `select public.finish_ai_call((public.admit_ai_call('${admin}', '${model}', 10, workspace_id => '${team}') ->> 'hold_id')::uuid,
       'success', 10, 0, 0) as said`,
  );
  expect(rows[0].said).toMatchObject({ finished: true });
  await other.query(`select public.debit_user_credits_transaction('${admin}', 1, 'manual', workspace_id => '${team}')`);
  await other.query(`set lock_timeout = '60s'`);
  const again = second.query(asPerson(admin, loading(team, 'a', 'The river is wide.')));
  await untilBlocked(second);
  const deleted = deleter.query('delete from auth.users where id = $1', [owner]);
  await untilBlocked(deleter);
  await slow.query('commit');
  expect(((await again) as unknown as pg.QueryResult[]).at(-1)?.rows).toEqual([{ said: 2 }]);
  await deleted;
  expect(await sql('select user_id, version from public.rag_documents where workspace_id = $1', [team])).toEqual([
    { user_id: admin, version: 2 },
  ]);
  expect(await driftOf([team])).toEqual([]);
});

test('loads, embeddings, searches and deletions at once: no deadlock, and nothing is left that belongs to nothing', async () => {
  const before = await countDeadlocks(callers);
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ does: fc.constant('load' as const), source: fc.nat(2), words: fc.nat(3) }) },
    { weight: 3, arbitrary: fc.record({ does: fc.constant('embed' as const), source: fc.nat(2), words: fc.nat(3) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        does: fc.constantFrom('delete' as const, 'search' as const, 'leave' as const, 'end' as const),
        source: fc.nat(2),
        words: fc.nat(3),
      }),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 16 }), async (steps) => {
      const [owner = '', admin = ''] = await newAccounts(2, 3);
      const team = await teamOf(owner, admin);
      await sql(`select public.load_document('A title', 'The first one.', 's0', workspace_id => $1)`, [team]);
      const calls = steps.map(({ does, source, words }, number) => ({
        by: inTurn(callers, number),
        statement: {
          load: asPerson(
            admin,
            loading(
              team,
              `s${source}`,
              Array(words * 60 + 1)
                .fill(`The river ${words} is long.`)
                .join(' '),
            ),
          ),
          // What a request does: it claims, and keeps what came.
          embed: `select public.store_embeddings('${team}', '${model}', (
              select coalesce(jsonb_agg(p || '{"embedding": [1, 0]}'), '[]')
              from jsonb_array_elements(public.claim_passages('${admin}', workspace_id => '${team}', max_passages => 2) -> 'passages') p))`,
          delete: asPerson(
            admin,
            `select public.delete_document(id) from public.rag_documents where source = 's${source}'`,
          ),
          search: asPerson(admin, `select count(*) from public.search_passages('${team}', 'a long river')`),
          leave: `delete from auth.users where id = '${owner}'`,
          end: asPerson(owner, `select public.delete_workspace('${team}')`),
        }[does],
      }));
      const outcomes = await callAtOnce(calls);
      expect(
        outcomes
          .flatMap((outcome) => ('error' in outcome ? [outcome.error] : []))
          .filter((error) => !/^PT40[14]/.test(error)), // what they ask of is gone, or they are
      ).toEqual([]);
      expect(
        await sql(
          `select d.id from public.rag_documents d
           where d.workspace_id = $1 and d.chunk_count <> (select count(*) from public.rag_chunks c where c.document_id = d.id)
           union all select e.document_id from private.rag_embeddings e where e.workspace_id = $1 and not exists (
             select from public.rag_chunks c where c.document_id = e.document_id and c.content_hash = e.content_hash)
           union all select c.document_id from public.rag_chunks c where c.workspace_id = $1
             and not exists (select from public.rag_documents d where d.id = c.document_id)`,
          [team],
        ),
      ).toEqual([]);
      expect(await driftOf([team])).toEqual([]);
    }),
    { numRuns: runs(10) },
  );
  expect(await countDeadlocks(callers)).toBe(before);
});
