/** Members who hold what is their own for long: a statement with a slow filter, an import. Their team goes on meanwhile. */
import { randomInt, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { newModel } from '../ai/helpers.ts';
import { callAtOnce, countDeadlocks, hangUp, inTurn, openCallers, untilBlocked } from '../support/callers.ts';
import { runs } from '../support/runs.ts';
import { adminPool, sql } from '../support/stack.ts';
import { driftOf, newAccounts } from '../support/wallets.ts';

let callers: pg.Client[] = [];
let slow: pg.Client;
let other: pg.Client;
let third: pg.Client;
let model = '';
let deadlocks = 0;
beforeAll(async () => {
  callers = await openCallers(8, 'postgres');
  [slow, other, third] = callers as [pg.Client, pg.Client, pg.Client];
  model = await newModel();
  deadlocks = await countDeadlocks([]);
});
afterAll(async () => {
  const counted = await countDeadlocks(callers);
  await hangUp(callers);
  expect(counted).toBe(deadlocks);
});

/** A team on a plan that bounds its day, with two members and a conversation of two messages of each. */
interface Team {
  id: string;
  owner: string;
  member: string;
  mate: string;
  /** By person. */
  conversation: Record<string, string>;
  message: Record<string, string>;
}

async function newTeam(credits = 1000): Promise<Team> {
  const [owner = '', member = '', mate = ''] = await newAccounts(3, 3);
  const [made] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
  const team: Team = { id: made?.id ?? '', owner, member, mate, conversation: {}, message: {} };
  await sql(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner'), ($1, $3, 'member'), ($1, $4, 'member')`,
    [team.id, owner, member, mate],
  );
  await sql(`select public.credit_user_credits_transaction($1, $3, 'manual', workspace_id => $2)`, [
    owner,
    team.id,
    credits,
  ]);
  for (const person of [member, mate]) {
    team.conversation[person] = randomUUID();
    team.message[person] = randomUUID();
    await sql('insert into public.conversations (id, workspace_id, user_id) values ($1, $2, $3)', [
      team.conversation[person],
      team.id,
      person,
    ]);
    await sql(`insert into public.messages (id, conversation_id, content) values ($1, $3, 'one'), ($2, $3, 'two')`, [
      team.message[person],
      randomUUID(),
      team.conversation[person],
    ]);
  }
  return team;
}

const asPerson = (person: string, statement: string): string =>
  `select set_config('request.jwt.claims', '{"sub": "${person}", "role": "authenticated"}', true),
     set_config('role', 'authenticated', true); ${statement}`;

/** Sends a message: the admission of its answer's call. */
const send = (team: Team, person: string, id: string = randomUUID()): string =>
  `select public.admit_message('${team.conversation[person]}', '${person}', 'send', gen_random_uuid(),
     jsonb_build_object('id', '${id}', 'parts', '[{"type": "text", "text": "hello"}]'::jsonb, 'content_type', 'text',
       'parent_message_id', (select current_leaf_id from public.conversations where id = '${team.conversation[person]}'),
       'key_id', '${id}', 'request_hash', 'x'), '${model}', 10, request_id => '${id}') as said`;
const finish = (hold: unknown): string =>
  `select public.finish_message('${hold}', '{"parts": [{"type": "text", "text": "hi"}], "content_tokens": 1}', 'success', 10, 0, 5) as said`;
const call = (team: Team, person: string): string =>
  `select public.finish_ai_call((public.admit_ai_call('${person}', '${model}', 10, workspace_id => '${team.id}',
     details => '{"request_data": {"text": "hello"}}') ->> 'hold_id')::uuid, 'success', 10, 0, 5) as said`;
const importing = (team: Team, person: string, mark = 'a'): string =>
  asPerson(
    person,
    `select public.import_conversation('elsewhere', '{"title": "${mark}", "messages": [{"role": "user", "content": "hello"}]}', '${team.id}') as said`,
  );

async function ask(client: pg.Client, statement: string): Promise<Record<string, unknown>> {
  const results = [(await client.query(statement)) as unknown].flat() as pg.QueryResult[];
  return results.at(-1)?.rows[0]?.said ?? {};
}

/** Everything that a teammate does, none of it waiting for a lock. */
async function work(team: Team, doing: 'everything' | 'calls' = 'everything'): Promise<void> {
  const { mate } = team;
  await other.query(`set lock_timeout = '3s'`);
  expect(await ask(other, call(team, mate))).toMatchObject({ finished: true });
  await other.query(
    `select public.debit_user_credits_transaction('${mate}', 1, 'generation', workspace_id => '${team.id}')`,
  );
  const admission = await ask(other, send(team, mate));
  expect(admission).toMatchObject({ admitted: true });
  expect(await ask(other, finish(admission.hold_id))).toMatchObject({ finished: true });
  if (doing === 'everything') {
    await other.query(
      asPerson(
        mate,
        `insert into public.messages (conversation_id, content) values ('${team.conversation[mate]}', 'hello')`,
      ),
    );
    await other.query(asPerson(mate, `update public.conversations set title = 'hello', is_shared = true`));
  }
  await other.query(`set lock_timeout = '60s'`);
}

// A statement that holds what it locked until the gate opens.
let gate = 0;
let keeper: pg.PoolClient;
beforeEach(async () => {
  gate = randomInt(2 ** 31);
  keeper = await adminPool.connect();
  await keeper.query('select pg_advisory_lock($1::bigint)', [gate]);
});
/** A slow filter. It looks at the row, so the policies, and their locks, come before it. */
const filter = () => `pg_advisory_xact_lock_shared(${gate} + length(id::text) - 36) is not null`;
const open = () => keeper.query('select pg_advisory_unlock_all()');
afterEach(async () => {
  await open();
  keeper.release();
  for (const client of callers) await client.query('rollback');
});

test.each([
  [
    'update of a conversation',
    (t: Team) => `update public.conversations set title = 'new' where user_id = '${t.member}'`,
  ],
  [
    'update of a message',
    (t: Team) => `update public.messages set content = 'new' where id = '${t.message[t.member]}'`,
  ],
  [
    'deletion of messages',
    (t: Team) => `delete from public.messages where conversation_id = '${t.conversation[t.member]}'`,
  ],
])('a slow %s keeps no teammate waiting', async (_, write) => {
  const team = await newTeam();
  const written = slow.query(asPerson(team.member, `${write(team)} and ${filter()}`));
  await untilBlocked(slow);
  await work(team);
  await open();
  await written;
  expect(await driftOf([team.id])).toEqual([]);
});

test('nor does a question whose answer is slow to be read', async () => {
  const team = await newTeam();
  const written = slow.query(
    asPerson(
      team.member,
      `with made as (insert into public.messages (conversation_id, content) values ('${team.conversation[team.member]}', 'new') returning id)
       select id, pg_advisory_xact_lock_shared(${gate}) from made`,
    ),
  );
  await untilBlocked(slow);
  await work(team);
  await open();
  await written;
});

test('nor does an import, while it is written and after it', async () => {
  const team = await newTeam();
  // Its last step is to count what it stored.
  await third.query(importing(team, team.member, 'the first'));
  await third.query('begin');
  await third.query('select from private.kept_content where workspace_id = $1 and is_by_client for update', [team.id]);
  const imported = slow.query(`begin; ${importing(team, team.member)}`);
  await untilBlocked(slow);
  await work(team, 'calls');
  await third.query('commit');
  await imported;
  await work(team, 'calls');
  await slow.query('commit');
  expect(
    await sql(
      'select title from public.conversations where workspace_id = $1 and import_key is not null order by title',
      [team.id],
    ),
  ).toEqual([{ title: 'a' }, { title: 'the first' }]);
});

test('imports of one person come one after the other: the same one is written once, and none for which there is no room', async () => {
  const team = await newTeam();
  await slow.query(`begin; ${importing(team, team.member)}`);
  const again = ask(other, importing(team, team.member));
  await untilBlocked(other);
  await slow.query('commit');
  expect(await again).toMatchObject({ imported: false });

  await sql(`update private.kept_content set bytes = 5242880 where workspace_id = $1 and is_by_client`, [team.id]);
  // What is written names its person, and waits here.
  await slow.query('begin');
  await slow.query('select from public.users where id = $1 for update', [team.member]);
  await other.query(`set lock_timeout = '3s'`);
  await expect(ask(other, importing(team, team.member, 'more'))).rejects.toMatchObject({ code: 'PGRST' });
  await other.query(`set lock_timeout = '60s'`);
});

test('an import that waits too long for another one of its person is told to come again', async () => {
  const team = await newTeam();
  await slow.query(`begin; ${importing(team, team.member)}`);
  const hurried = `alter function private.write_import set lock_timeout = '50ms'; ${importing(team, team.member, 'b')}`;
  await expect(ask(other, hurried)).rejects.toMatchObject({ code: 'PGRST', message: /rate_limited/ });
  await slow.query('commit');
  expect(await ask(other, importing(team, team.member, 'b'))).toMatchObject({ imported: true });
});

test('what is sent to a conversation that is held waits, as its end does, and not with the wallet', async () => {
  const team = await newTeam();
  const admission = await ask(other, send(team, team.member));
  const held = slow.query(
    asPerson(
      team.member,
      `update public.conversations set title = 'new' where user_id = '${team.member}' and ${filter()}`,
    ),
  );
  await untilBlocked(slow);
  const [, , sender, ender, stopper] = callers as [pg.Client, pg.Client, pg.Client, pg.Client, pg.Client];
  await sql(`update private.credit_holds set work = work || '{"heard_at": "2020-01-01T00:00:00Z"}' where id = $1`, [
    admission.hold_id,
  ]);
  const sent = ask(sender, send(team, team.member));
  const ended = ask(ender, finish(admission.hold_id));
  const [answer] = await sql<{ id: string }>('select id from public.messages where hold_id = $1', [admission.hold_id]);
  const stopped = ask(
    stopper,
    `select public.stop_message('${team.member}', '${team.conversation[team.member]}', '${answer?.id}') as said`,
  );
  await Promise.all([untilBlocked(sender), untilBlocked(ender), untilBlocked(stopper)]);
  await work(team);
  await open();
  await held;
  // Whoever came first ended the call, the others found it ended.
  expect(['stopped', 'failed', 'sent']).toContain((await stopped).status);
  expect(await sent).toHaveProperty('admitted');
  await ended;
  expect(await driftOf([team.id])).toEqual([]);
});

test('an id that its client is writing elsewhere just now is taken, and not waited for', async () => {
  const team = await newTeam();
  const id = randomUUID();
  const [elsewhere] = await sql<{ id: string }>(
    'insert into public.conversations (workspace_id, user_id) values ($1, $2) returning id',
    [team.id, team.member],
  );
  await slow.query(
    `begin; ${asPerson(team.member, `insert into public.messages (id, conversation_id) values ('${id}', '${elsewhere?.id}')`)}`,
  );
  await expect(other.query(send(team, team.member, id))).rejects.toMatchObject({ code: 'PT409' });
  await slow.query('commit');
});

test('sweeps pass over a conversation that is held, and come back', async () => {
  const team = await newTeam();
  const { member, mate, conversation } = team;
  const holds = [(await ask(other, send(team, member))).hold_id, (await ask(other, send(team, mate))).hold_id];
  await sql(`update private.credit_holds set expires_at = '2020-01-01' where id = any ($1)`, [holds]);
  await sql(`update public.messages set status = 'deleted', deleted_at = '2020-01-01' where id = any ($1)`, [
    [team.message[member], team.message[mate]],
  ]);
  const left = () =>
    sql(
      `select 'call' as what, user_id from private.credit_holds where id = any ($1) and work is not null
       union all select 'message', c.user_id from public.messages m join public.conversations c on c.id = m.conversation_id
       where m.id = any ($2) order by what desc`,
      [holds, [team.message[member], team.message[mate]]],
    );
  const sweep = async () => {
    await other.query(`set lock_timeout = '3s'`);
    for (const piece of ['finish_next_lost_ai_call', 'finish_next_lost_answer', 'remove_next_old_content'])
      while ((await other.query(`select private.${piece}(clock_timestamp()) as more`)).rows[0].more);
    await other.query(`set lock_timeout = '60s'`);
  };
  await slow.query('begin');
  await slow.query('select from public.conversations where id = $1 for no key update', [conversation[member]]);
  await sweep();
  expect(await left()).toEqual([
    { what: 'message', user_id: member },
    { what: 'call', user_id: member },
  ]);
  await slow.query('commit');
  await slow.query('begin');
  await slow.query('select from public.credit_wallets where workspace_id = $1 for no key update', [team.id]);
  await sweep();
  expect(await left()).toEqual([{ what: 'call', user_id: member }]); // to remove what is old takes no wallet
  await slow.query('commit');
  // A call whose conversation is gone meanwhile is finished too.
  await sql('delete from public.conversations where id = $1', [conversation[member]]);
  await sweep();
  expect(await left()).toEqual([]);
  expect(await driftOf([team.id])).toEqual([]);
});

test('who shares a wallet with a deletion that waits gets it whole, also after others', async () => {
  const team = await newTeam();
  const [, , , deleter, caller] = callers as [pg.Client, pg.Client, pg.Client, pg.Client, pg.Client];
  await slow.query('begin');
  await slow.query(`select private.lock_conversation('${team.conversation[team.member]}')`);
  await caller.query('begin');
  await caller.query(call(team, team.mate));
  const deleted = deleter.query('delete from auth.users where id = $1', [team.member]);
  await untilBlocked(deleter);
  const locked = slow.query(send(team, team.member));
  await untilBlocked(slow);
  await caller.query('commit');
  await locked;
  await slow.query('commit');
  await deleted;
  expect(await driftOf([team.id])).toEqual([]);
  expect(await sql('select id from public.conversations where id = $1', [team.conversation[team.member]])).toEqual([]);
});

test('a deletion that comes first is waited for before the conversation is locked', async () => {
  const team = await newTeam();
  await other.query('begin');
  await other.query('select from public.credit_wallets where workspace_id = $1 for update', [team.id]);
  const sent = ask(slow, send(team, team.member));
  await untilBlocked(slow);
  await other.query(`set local lock_timeout = '3s'`);
  await other.query('delete from public.workspaces where id = $1', [team.id]);
  await other.query('commit');
  await expect(sent).rejects.toMatchObject({ code: 'PT404' });
});

test('an import whose person is deleted first finds no workspace of theirs', async () => {
  const team = await newTeam();
  await other.query('begin');
  await other.query('delete from auth.users where id = $1', [team.member]);
  const imported = ask(slow, importing(team, team.member));
  await untilBlocked(slow);
  await other.query('commit');
  await expect(imported).rejects.toMatchObject({ code: 'PT404' });
});

/** What somebody may be told whose account, team or conversation goes meanwhile. */
const FAIR = /^(PT401|PT403|PT404|PT409|42501|23503|PGRST) /;

test('accounts and teams are deleted while their people write, send and import: no deadlock, nothing is lost', async () => {
  const teams = await Promise.all(Array.from({ length: runs(8) }, () => newTeam()));
  const holds = await Promise.all(teams.map(async (team) => (await sql(send(team, team.member)))[0]?.said.hold_id));
  const calls = teams.flatMap((team, place) => {
    const { member, conversation, message } = team;
    const answer = `(select id from public.messages where hold_id = '${holds[place]}')`;
    const statements = [
      finish(holds[place]),
      asPerson(member, `update public.messages set content = 'new' where workspace_id = '${team.id}'`),
      importing(team, member),
      send(team, member),
      `update private.credit_holds set expires_at = '2020-01-01' where id = '${holds[place]}'; select private.finish_next_lost_answer(clock_timestamp())`,
      place % 2
        ? asPerson(team.owner, `select public.delete_workspace('${team.id}')`)
        : `delete from auth.users where id = '${member}'`,
      asPerson(member, `insert into public.messages (conversation_id) values ('${conversation[member]}')`),
      `select private.remove_next_old_content(clock_timestamp() + interval '40 days')`,
      asPerson(member, `delete from public.messages where id = '${message[member]}'`),
      asPerson(member, `update public.conversations set title = 'new' where user_id = '${member}'`),
      `select public.stop_message('${member}', '${conversation[member]}', ${answer})`,
      call(team, team.mate),
      `select public.store_conversation_notes('${conversation[member]}', 'title', 'summary', '${message[member]}')`,
      asPerson(member, `select public.create_attachment('${conversation[member]}', 'a.png', 'image/png', 100)`),
    ];
    const from = randomInt(statements.length);
    return [...statements.slice(from), ...statements.slice(0, from)].map((statement, number) => ({
      by: inTurn(callers, place * 3 + number),
      statement,
    }));
  });
  const outcomes = await callAtOnce(calls);
  expect(outcomes.flatMap((outcome) => ('error' in outcome && !FAIR.test(outcome.error) ? [outcome] : []))).toEqual([]);
  const left = teams.filter((_, place) => place % 2 === 0).map(({ id }) => id);
  expect(await sql('select id from public.workspaces where id = any ($1)', [teams.map(({ id }) => id)])).toHaveLength(
    left.length,
  );
  expect(await driftOf(left)).toEqual([]);
  expect(
    await sql('select user_id from public.conversations where workspace_id = any ($1) and user_id is null', [left]),
  ).toEqual([]);
});

/** What one session does: bytes that are stored, by a client or a call. */
const stores = fc.record({
  do: fc.constantFrom('write', 'edit', 'import', 'attach', 'call', 'send'),
  bytes: fc.integer({ min: 1, max: 3000 }),
});
const LIMIT = 5242880;
const MOST = 5000;

test('the day of a workspace is what its people and its calls stored, and is bounded', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(stores, { minLength: 15, maxLength: 40 }), fc.nat(60000), async (moves, room) => {
      const team = await newTeam();
      await sql(
        `insert into private.kept_content values ($1, true, date_trunc('day', now(), 'UTC'), $2), ($1, false, date_trunc('day', now(), 'UTC'), 1000)`,
        [team.id, LIMIT - 1000 - room],
      );
      // A call that its plan refuses has no hold to finish.
      await sql(
        `insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason)
         select $1, code, null, 'a test' from unnest('{requests_per_minute,messages_per_month}'::text[]) code`,
        [team.id],
      );
      const statementOf = (move: { do: string; bytes: number }, number: number): string => {
        const person = number % 2 ? team.member : team.mate;
        const text = 'x'.repeat(move.bytes);
        switch (move.do) {
          case 'write':
            return asPerson(
              person,
              `insert into public.messages (conversation_id, content) values ('${team.conversation[person]}', '${text}') returning octet_length(to_jsonb(messages)::text) as stored`,
            );
          case 'edit':
            return asPerson(
              person,
              `update public.messages set content = '${text}${number}' where id = '${team.message[person]}' returning octet_length(to_jsonb(messages)::text) as stored`,
            );
          case 'import': {
            const given = `{"title": "${number}", "messages": [{"role": "user", "content": "${text}"}]}`;
            return asPerson(
              person,
              `select octet_length('${given}'::jsonb::text) + 1400 as stored from public.import_conversation('x', '${given}', '${team.id}')`,
            );
          }
          case 'attach':
            return asPerson(
              person,
              `select ${move.bytes} + 1024 as stored from public.create_attachment('${team.conversation[person]}', 'a.png', 'image/png', ${move.bytes})`,
            );
          case 'call':
            return `select public.finish_ai_call((public.admit_ai_call('${person}', '${model}', 10, workspace_id => '${team.id}',
              details => '{"request_data": {"text": "${text}"}}') ->> 'hold_id')::uuid, 'success', 10, 0, 5)`;
          default:
            return send(team, person);
        }
      };
      const outcomes = await callAtOnce(
        moves.map((move, number) => ({ by: inTurn(callers, number), statement: statementOf(move, number) })),
      );
      expect(
        outcomes.flatMap((outcome) => ('error' in outcome && !/limit_reached/.test(outcome.error) ? [outcome] : [])),
      ).toEqual([]);
      const stored = outcomes.reduce((sum, one) => sum + Number(('row' in one && one.row.stored) || 0), 0);
      const [kept] = await sql(
        `select (select bytes::integer from private.kept_content where workspace_id = $1 and is_by_client) as clients,
           (select bytes::integer from private.kept_content where workspace_id = $1 and not is_by_client) as calls,
           (select coalesce(sum(octet_length(request_data::text)), 0)::integer from private.ai_usage_logs where workspace_id = $1) as logged`,
        [team.id],
      );
      expect(kept?.clients).toBe(LIMIT - 1000 - room + stored);
      expect(kept?.calls).toBeGreaterThanOrEqual(1000 + (kept?.logged ?? 0));
      expect(kept?.clients + kept?.calls).toBeLessThanOrEqual(LIMIT + MOST);
    }),
    { numRuns: runs(6), endOnFailure: true },
  );
});
