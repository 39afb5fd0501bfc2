/** What a frontend reads of sessions with supabase-js, as each actor: rows, what is embedded in others, functions. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { adminPool, anonClient, newUser, serviceClient, sqlAs, type TestUser } from '../support/stack.ts';

type Role = 'owner' | 'admin' | 'member';

/** A team of an author, who is a plain member, and others by their role; and a stranger. */
async function makeTeam(): Promise<{ team: string; people: Record<Role | 'author' | 'stranger', TestUser> }> {
  const [author, owner, admin, member, stranger] = await Promise.all(Array.from({ length: 5 }, () => newUser()));
  const people = { author, owner, admin, member, stranger } as Record<Role | 'author' | 'stranger', TestUser>;
  const team = randomUUID();
  await adminPool.query(`insert into public.workspaces (id, name) values ($1, 'Team')`, [team]);
  for (const [name, role] of Object.entries({ owner: 'owner', admin: 'admin', author: 'member', member: 'member' }))
    await adminPool.query(
      'insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, $3::public.workspace_role)',
      [team, people[name as Role].id, role],
    );
  return { team, people };
}

/** A session that ended, with three analyses and a transcript. */
async function writeSession(workspace: string, person: string, words: string, isShared = false): Promise<string> {
  const id = randomUUID();
  await adminPool.query(
    `insert into public.sessions (id, workspace_id, user_id, client_id, is_shared, status, started_at, ended_at)
     values ($1::uuid, $2, $3, $4, $5, 'completed', now() - interval '10 minutes', now())`,
    [id, workspace, person, `${words} ${id}`, isShared],
  );
  await adminPool.query(
    `insert into public.session_analysis_logs (session_id, sequence_number, workspace_id, user_id, analyzed_at, safety_level, severity, display_text, duration_seconds, model_used)
     select $1::uuid, n, $2::uuid, $3::uuid, now() - interval '10 minutes' + n * interval '1 minute',
       (array['red', 'green', 'green'])[n]::public.session_safety_level, 1, $4, 60, 'a model' from generate_series(1, 3) n`,
    [id, workspace, person, words],
  );
  await adminPool.query(
    `insert into public.session_usage (session_id, workspace_id, user_id, status, analysis_count, request_count, red_count, green_count, duration_seconds,
       credit_deducted, credit_deducted_at)
     values ($1, $2, $3, 'completed', 3, 3, 1, 2, 180, true, now())`,
    [id, workspace, person],
  );
  await adminPool.query(
    `insert into public.session_transcripts (session_id, workspace_id, transcript) values ($1, $2, $3)`,
    [id, workspace, words],
  );
  return id;
}

const EMBEDDED = '*, session_transcripts(*), session_analysis_logs(*), session_usage(*)';

test('what is embedded in a row is read by its own rules', async () => {
  const { team, people } = await makeTeam();
  const words = `words-${randomUUID()}`;
  const id = await writeSession(team, people.author.id, words);
  const readBy = async ({ client }: TestUser) => (await client.from('sessions').select(EMBEDDED).eq('id', id)).data;

  expect(await readBy(people.author)).toMatchObject([
    {
      session_transcripts: { transcript: words },
      session_analysis_logs: [{}, {}, {}],
      session_usage: { red_count: 1 },
    },
  ]);
  for (const person of [people.owner, people.admin])
    expect(await readBy(person)).toMatchObject([
      { session_transcripts: null, session_analysis_logs: [{}, {}, {}], session_usage: { red_count: 1 } },
    ]);
  for (const person of [people.member, people.stranger]) expect(await readBy(person)).toEqual([]);
  // The other way about, and through what is theirs to read.
  for (const person of [people.owner, people.member, people.stranger]) {
    const { client } = person;
    expect((await client.from('session_transcripts').select('*, sessions(*)').eq('session_id', id)).data).toEqual([]);
    const through = await client.from('workspaces').select('id, session_transcripts(transcript)').eq('id', team);
    expect(through.error).toBeNull();
    expect(JSON.stringify(through.data)).not.toContain(words);
    const inner = await client.from('sessions').select('id, session_transcripts!inner(transcript)');
    expect(inner.data).toEqual([]);
  }
  const logs = await people.member.client.from('workspaces').select('id, session_analysis_logs(*), session_usage(*)');
  expect(JSON.stringify(logs.data)).not.toContain(id);
  for (const table of ['sessions', 'session_transcripts', 'session_analysis_logs', 'session_usage'] as const)
    expect((await anonClient().from(table).select()).error?.code).toBe('42501');
  expect((await serviceClient().from('sessions').select(EMBEDDED).eq('id', id)).data).toMatchObject([
    { session_transcripts: { transcript: words } },
  ]);

  // Shared, the team reads all of it, and nobody else; what it may not, is to share it on.
  expect((await people.member.client.from('sessions').update({ is_shared: true }).eq('id', id).select()).data).toEqual(
    [],
  );
  expect((await people.admin.client.from('sessions').update({ is_shared: true }).eq('id', id).select()).data).toEqual(
    [],
  );
  expect(
    (await people.author.client.from('sessions').update({ is_shared: true }).eq('id', id).select()).data,
  ).toHaveLength(1);
  for (const person of [people.owner, people.member])
    expect(await readBy(person)).toMatchObject([{ session_transcripts: { transcript: words } }]);
  expect(await readBy(people.stranger)).toEqual([]);
});

test('a session has its pages of logs, its levels, its timeline and its sums', async () => {
  const { team, people } = await makeTeam();
  const id = await writeSession(team, people.author.id, 'words');
  const { client } = people.admin;
  const page = async (before = 2 ** 31 - 1) =>
    (
      await client
        .from('session_analysis_logs')
        .select('sequence_number')
        .eq('session_id', id)
        .lt('sequence_number', before)
        .order('sequence_number', { ascending: false })
        .limit(2)
    ).data?.map(({ sequence_number }) => sequence_number);
  expect([await page(), await page(2), await page(1)]).toEqual([[3, 2], [1], []]);

  const levels = await client.rpc('session_safety_distribution', { session_id: id });
  expect(levels.data).toEqual({
    ...{ red_count: 1, yellow_count: 0, green_count: 2, total_count: 3 },
    ...{ red_percentage: 33.33, yellow_percentage: 0, green_percentage: 66.67 },
  });
  const line = await client.rpc('session_timeline', { session_id: id });
  expect(line.data).toMatchObject({
    ...{ session_id: id, sequence_numbers: [1, 2, 3], levels: ['red', 'green', 'green'], severities: [1, 1, 1] },
    seconds: [60, 120, 180].map((at) => expect.closeTo(at, 0)),
  });
  const stats = await client.rpc('session_usage_stats', { workspace_id: team });
  expect(stats.data).toMatchObject({ total_sessions: 1, total_analysis_count: 3, total_duration_seconds: 180 });
  const members = await client.rpc('session_safety_by_member', { workspace_id: team });
  expect(members.data).toMatchObject([{ user_id: people.author.id, session_count: 1, red_percentage: 33.33 }]);
  const red = await client.rpc('session_analysis_history', { workspace_id: team, safety_level: 'red' });
  expect(red.data).toMatchObject([{ session_id: id, sequence_number: 1 }]);

  for (const person of [people.member, people.stranger])
    for (const name of ['session_safety_distribution', 'session_timeline'] as const)
      expect(await person.client.rpc(name, { session_id: id })).toMatchObject({
        status: 404,
        error: { message: 'not_found' },
      });
  expect((await people.stranger.client.rpc('session_usage_stats', { workspace_id: team })).status).toBe(404);
  expect((await people.member.client.rpc('session_usage_stats', { workspace_id: team })).data?.total_sessions).toBe(0);
  for (const name of ['session_usage_stats', 'session_analysis_history'] as const)
    expect((await anonClient().rpc(name)).error?.code).toBe('42501');
  const bad = await client.rpc('session_usage_stats', { start_date: 'no day' });
  expect(bad.status).toBe(400);
});

test('when a person is deleted, a team keeps what they shared, and of the rest the figures', async () => {
  const { team, people } = await makeTeam();
  const [kept, shared] = [`kept-${randomUUID()}`, `shared-${randomUUID()}`];
  const ids = [
    await writeSession(team, people.author.id, kept),
    await writeSession(team, people.author.id, shared, true),
  ];
  const auth = await sqlAs('supabase_auth_admin');
  try {
    await auth.query('delete from auth.users where id = $1', [people.author.id]);
  } finally {
    await auth.end();
  }
  const { data } = await people.owner.client.from('sessions').select(EMBEDDED).in('id', ids).order('is_shared');
  const text = JSON.stringify(data);
  expect(text).toContain(shared);
  for (const gone of [kept, people.author.id]) expect(text).not.toContain(gone);
  expect(data).toMatchObject([
    { id: ids[0], user_id: null, session_transcripts: null, session_usage: { user_id: null, red_count: 1 } },
    { id: ids[1], user_id: null, session_transcripts: { transcript: shared } },
  ]);
  expect(data?.[0]?.session_analysis_logs.map(({ safety_level }) => safety_level).sort()).toEqual([
    'green',
    'green',
    'red',
  ]);
  const { data: sums } = await people.owner.client.rpc('session_usage_stats', { workspace_id: team });
  expect(sums?.total_sessions).toBe(2);
});
