/** Random histories of conversations, each written by several sessions at once: counters equal a recount. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callAtOnce, countDeadlocks, hangUp, inTurn, openCallers } from '../support/callers.ts';
import { runs } from '../support/runs.ts';
import { adminPool, sql } from '../support/stack.ts';
import { newAccounts } from '../support/wallets.ts';

const HISTORIES = runs(126);
/** Histories that go on at the same time, each with its own people and conversations. */
const AT_ONCE = 6;
const SESSIONS = 3;

let callers: pg.Client[] = [];
let deadlocks = 0;
beforeAll(async () => {
  callers = await openCallers(AT_ONCE * SESSIONS, 'postgres');
  deadlocks = await countDeadlocks([]);
});
afterAll(async () => {
  const counted = await countDeadlocks(callers);
  await hangUp(callers);
  expect(counted).toBe(deadlocks);
});

/** What one statement does, to messages and conversations by their numbers. */
type Move =
  | { do: 'write' | 'answer' | 'hide' | 'edit' | 'finish' | 'look' | 'remove'; message: number; parent: number }
  | { do: 'write many' | 'hide many'; messages: number[] }
  | { do: 'hide all' | 'hide conversation' | 'remove conversation' | 'sweep' | 'archive'; conversation: number };

/** Messages 0 to 5 are of conversation 0, the others of conversation 1, of the same person. */
const MESSAGES = 12;
const message = fc.nat(MESSAGES - 1);
const conversation = fc.nat(1);
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('write' as const), message, parent: message }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('answer', 'hide', 'edit', 'finish', 'look', 'remove'),
      message,
      parent: message,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('write many', 'hide many'),
      messages: fc.uniqueArray(message, { minLength: 2, maxLength: 5 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('hide all', 'hide conversation', 'remove conversation', 'sweep', 'archive'),
      conversation,
    }),
  },
);
const history = fc.array(fc.array(move, { minLength: 2, maxLength: 6 }), {
  minLength: SESSIONS,
  maxLength: SESSIONS,
});

/** Ids that are the same whenever a history is played by the same person. */
const idOf = (person: string, thing: string): string =>
  createHash('md5')
    .update(person + thing)
    .digest('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

/** A move as the statement of who makes it: the person through the API, or the server. */
function statementOf(person: string, made: Move): string {
  const m = (number: number): string => `'${idOf(person, `message ${number}`)}'`;
  const c = (number: number): string => `'${idOf(person, `conversation ${number}`)}'`;
  const home = (number: number): string => c(number < MESSAGES / 2 ? 0 : 1);
  const parent = (number: number, of: number): string =>
    of % 2 ? `(select id from public.messages where id = ${m(of)} and conversation_id = ${home(number)})` : 'null';
  const claims = `set_config('request.jwt.claims', '{"sub": "${person}", "role": "authenticated"}', true)`;
  const client = (statement: string): string =>
    `select ${claims}, set_config('role', 'authenticated', true); ${statement}`;
  /** As an AI call of a conversation: locks that, then the wallet. */
  const server = (of: string, statement: string): string =>
    `select private.lock_conversation(${of});
     select from public.credit_wallets where workspace_id = '${person}' for no key update; ${statement}`;
  switch (made.do) {
    case 'write':
      return client(`insert into public.messages (id, conversation_id, parent_message_id, content)
        values (${m(made.message)}, ${home(made.message)}, ${parent(made.message, made.parent)}, 'hello') on conflict do nothing`);
    case 'write many':
      return client(`insert into public.messages (id, conversation_id, content) values
        ${made.messages.map((number) => `(${m(number)}, ${home(number)}, 'hello')`)} on conflict do nothing`);
    case 'answer':
      return server(
        home(made.message),
        `insert into public.messages (id, conversation_id, role, parent_message_id, content, prompt_tokens, completion_tokens, cost)
        select ${m(made.message)}, c.id, 'assistant', ${parent(made.message, made.parent)}, 'hi', ${made.parent}, 7, 0.001
        from public.conversations c where c.id = ${home(made.message)} on conflict do nothing`,
      );
    case 'finish':
      return server(
        home(made.message),
        `update public.messages set prompt_tokens = ${made.parent}, cost = cost + 0.01, content = content || '.' where id = ${m(made.message)}`,
      );
    case 'remove':
      return server(home(made.message), `delete from public.messages where id = ${m(made.message)}`);
    case 'hide':
      return client(`delete from public.messages where id = ${m(made.message)}`);
    case 'hide many':
      return client(`delete from public.messages where id in (${made.messages.map(m)})`);
    case 'hide all':
      return client(`delete from public.messages where conversation_id = ${c(made.conversation)}`);
    case 'edit':
      return client(`update public.messages set content = 'better' where id = ${m(made.message)}`);
    case 'look':
      return client(
        `update public.conversations set current_leaf_id = ${m(made.message)} where id = ${home(made.message)}`,
      );
    case 'archive':
      return client('update public.conversations set is_archived = not is_archived');
    case 'hide conversation':
      return client(`delete from public.conversations where id = ${c(made.conversation)}`);
    case 'remove conversation':
      return server(c(made.conversation), `delete from public.conversations where id = ${c(made.conversation)}`);
    case 'sweep':
      // What this person deleted is old, and nobody else's.
      return server(
        c(made.conversation),
        `update public.messages set deleted_at = '2020-01-01' where conversation_id = ${c(made.conversation)} and deleted_at is not null;
        update public.conversations set deleted_at = '2020-01-01' where id = ${c(made.conversation)} and deleted_at is not null;
        select private.remove_next_old_content(clock_timestamp())`,
      );
  }
}

/** What clients may be told: it is not there or theirs any more, or there already. Another session came first. */
const FAIR = /^(23505|42501|PT404) /;

test('counters equal a recount, the leaf is never a deleted message, and nobody meets in a deadlock', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(history, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (histories) => {
      const people = await newAccounts(histories.length, 3);
      const ids = people.flatMap((person) => [0, 1].map((number) => idOf(person, `conversation ${number}`)));
      await adminPool.query(
        `insert into public.conversations (id, workspace_id, user_id)
         select id, person, person from unnest($1::uuid[], $2::uuid[]) made (id, person)`,
        [ids, people.flatMap((person) => [person, person])],
      );
      const calls = histories.flatMap((sessions, place) =>
        sessions.flatMap((moves, session) =>
          moves.map((made) => ({
            by: inTurn(callers, place * SESSIONS + session),
            statement: statementOf(people[place] as string, made),
          })),
        ),
      );
      const outcomes = await callAtOnce(calls);
      expect(outcomes.flatMap((outcome) => ('error' in outcome && !FAIR.test(outcome.error) ? [outcome] : []))).toEqual(
        [],
      );
      expect(await driftOf(ids)).toEqual([]);
    }),
    { numRuns: Math.ceil(HISTORIES / AT_ONCE), endOnFailure: true },
  );
});

/** Conversations whose counters or leaf are not what their messages say. */
async function driftOf(ids: string[]): Promise<pg.QueryResultRow[]> {
  return sql(
    `select c.id, c.message_count, c.total_tokens, c.total_cost, c.current_leaf_id, x.*
     from public.conversations c cross join lateral (
       select count(*) as messages, coalesce(sum(m.total_tokens), 0) as tokens, coalesce(sum(m.cost), 0) as cost,
         coalesce(bool_or(m.id = c.current_leaf_id), c.current_leaf_id is null) as is_leaf_there
       from public.messages m where m.conversation_id = c.id and m.deleted_at is null
     ) x
     where c.id = any ($1)
       and ((c.message_count, c.total_tokens, c.total_cost) is distinct from (x.messages, x.tokens, x.cost) or not x.is_leaf_there)`,
    [ids],
  );
}

test('accounts and teams deleted while their people write: no deadlock, and nothing is left', async () => {
  const people = await newAccounts(runs(6), 3);
  for (const [place, person] of people.entries()) {
    const team = idOf(person, 'team');
    await adminPool.query(`insert into public.workspaces (id, name) values ($1, 'Team')`, [team]);
    await adminPool.query(
      `insert into public.workspace_members (workspace_id, user_id, role) select $1::uuid, unnest($2::uuid[]), 'owner'::public.workspace_role`,
      [team, [person, people[(place + 1) % people.length]]],
    );
    await adminPool.query(
      `insert into public.conversations (id, workspace_id, user_id, is_shared)
       select id, home, $3::uuid, shared from unnest($1::uuid[], $2::uuid[], '{true,false}'::boolean[]) made (id, home, shared)`,
      [[0, 1].map((number) => idOf(person, `conversation ${number}`)), [team, person], person],
    );
    await adminPool.query(
      `insert into public.messages (id, conversation_id, content) select * from unnest($1::uuid[], $2::uuid[]) made (id, home), (values ('hello')) x (content)`,
      [
        Array.from({ length: MESSAGES }, (_, number) => idOf(person, `message ${number}`)),
        Array.from({ length: MESSAGES }, (_, number) => idOf(person, `conversation ${number < MESSAGES / 2 ? 0 : 1}`)),
      ],
    );
  }
  const calls = people.flatMap((person, place) =>
    [
      statementOf(person, { do: 'hide many', messages: [9, 1, 4] }),
      statementOf(person, { do: 'archive', conversation: 0 }),
      place % 2
        ? `delete from auth.users where id = '${person}'`
        : `select from public.credit_wallets where workspace_id = '${idOf(person, 'team')}' for update;
           delete from public.workspaces where id = '${idOf(person, 'team')}'`,
      statementOf(person, { do: 'write many', messages: [MESSAGES, 2, MESSAGES + 1] }),
    ].map((statement, number) => ({ by: inTurn(callers, place * SESSIONS + (number % SESSIONS)), statement })),
  );
  const outcomes = await callAtOnce(calls);
  expect(outcomes.flatMap((outcome) => ('error' in outcome && !FAIR.test(outcome.error) ? [outcome] : []))).toEqual([]);
  const ids = people.flatMap((person) => [0, 1].map((number) => idOf(person, `conversation ${number}`)));
  expect(await driftOf(ids)).toEqual([]);
  expect(
    await sql(
      `select c.id from public.conversations c where c.id = any ($1) and c.user_id is null and not c.is_shared
       union all select m.id from public.messages m where m.conversation_id = any ($1)
         and not exists (select from public.conversations c where c.id = m.conversation_id)`,
      [ids],
    ),
  ).toEqual([]);
});

test('content that is old is removed while another conversation, which has some too, is at work', async () => {
  const people = await newAccounts(2, 3);
  const ids = people.map((person) => idOf(person, 'conversation 0'));
  await adminPool.query(
    `insert into public.conversations (id, workspace_id, user_id, deleted_at)
     select id, person, person, '2020-01-01' from unnest($1::uuid[], $2::uuid[]) made (id, person)`,
    [ids, people],
  );
  const left = () => sql('select id from public.conversations where id = any ($1)', [ids]);
  const sweep = async () => {
    for (;;) {
      const [row] = await sql<{ more: boolean }>('select private.remove_next_old_content(clock_timestamp()) as more');
      if (!row?.more) return;
    }
  };
  const [worker] = callers as [pg.Client];
  await worker.query('begin');
  await worker.query('select private.lock_conversation($1)', [ids[0]]);
  await sweep();
  expect(await left()).toEqual([{ id: ids[0] }]);
  await worker.query('commit');
  await sweep();
  expect(await left()).toEqual([]);
});
