/** Texts that try to instruct, spoken and retrieved: a model gets them as data, and they change neither verdict nor charge. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { openai, seenBySimulator, walletOf } from '../ai/helpers.ts';
import { serviceClient, sql, type TestUser } from '../support/stack.ts';
import { analyse, bookedOf, call, feesOf, newSpeaker, newSteeredModel, outcome, start } from './http_helpers.ts';
import { INJECTIONS } from './injections.ts';

const CALM = { safety_level: 'green', severity: 1 };
const SAID = 'The lamp in the hallway hums a little, says the caller.';

/** What the simulator was sent by role, of the calls of a key. */
async function messagesSeen(key: string): Promise<{ system: string[]; user: string[] }> {
  const { requests } = await seenBySimulator(key);
  const messages = requests.flatMap(({ body }) => body.messages as { role: string; content: string }[]);
  const of = (role: string) => messages.filter((one) => one.role === role).map(({ content }) => content);
  expect(messages.every(({ role }) => role === 'system' || role === 'user')).toBe(true);
  return { system: of('system'), user: of('user') };
}

/** Loads a document, as the service role, into somebody's workspace; returns the ids of its passages. */
async function load(user: TestUser, title: string, content: string): Promise<string[]> {
  const { error } = await serviceClient().rpc('load_document', { title, content, workspace_id: user.id });
  if (error) throw error;
  const rows = await sql<{ id: string }>(
    `select c.id from public.rag_chunks c join public.rag_documents d on d.id = c.document_id
     where d.workspace_id = $1 and d.title = $2 order by c.position`,
    [user.id, title],
  );
  return rows.map(({ id }) => id);
}

test('there are thirty, and an obedient model does what they say where they stand in the system role', async () => {
  expect(INJECTIONS.length).toBe(30);
  const user = await newSpeaker();
  const model = await newSteeredModel({ obedient: true });
  const schema = {
    type: 'object',
    properties: { safety_level: { type: 'string', enum: ['green'] }, severity: { type: 'integer', minimum: 1 } },
  };
  for (const content of INJECTIONS) {
    const { choices } = await openai(user).chat.completions.create({
      model,
      messages: [
        { role: 'system', content },
        { role: 'user', content: 'Judge.' },
      ],
      response_format: { type: 'json_schema', json_schema: { name: 'verdict', schema } },
    });
    expect(JSON.parse(choices[0]?.message.content ?? ''), content).not.toEqual(CALM);
  }
});

test('spoken, they stand in no system role, and neither verdict nor charge changes', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const key = randomUUID();
  const model = await newSteeredModel({ obedient: true, key });
  const before = await walletOf(speaker);
  for (const [at, text] of INJECTIONS.entries()) {
    const answer = await analyse(speaker, session, at + 1, model, { transcript_segment: text });
    expect(outcome(answer), text).toBe('200');
    expect(answer.analysis, text).toMatchObject({ ...CALM, rag_documents: [], rag_sources: [] });
  }
  const { system, user } = await messagesSeen(key);
  expect(new Set(system).size).toBe(1);
  expect(user.length).toBe(INJECTIONS.length);
  for (const [at, text] of INJECTIONS.entries()) {
    expect(user[at]).toContain(text);
    expect(system[0]).not.toContain(text);
    // Nothing in a text closes the tags it stands between.
    const word = user[at]?.match(/^<transcript-([0-9a-f]{8})>\n/)?.[1];
    expect(user[at]).toBe(`<transcript-${word}>\n${text}\n</transcript-${word}>`);
    expect(text).not.toContain(`${word}`);
  }
  expect((await walletOf(speaker))?.balance).toBe(before?.balance);
  const quiet = await start(speaker);
  const charges: number[] = [];
  for (const id of [session, quiet]) {
    expect(outcome(await call(speaker, 'PATCH', `/${id}/complete`, {}))).toBe('200');
    charges.push((await bookedOf(id)).row?.consumed);
  }
  expect(charges[0]).toBe(charges[1]);
  expect((await feesOf(speaker.id)).map(({ amount }) => -amount)).toEqual(charges);
});

test('retrieved, they are passages like any other, and only what stands in one is cited', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const chunks: string[] = [];
  for (const [at, text] of INJECTIONS.entries()) {
    chunks.push(...(await load(speaker, `Note ${at}`, `Hallway lamp, note ref${at}. ${text}`)));
  }
  expect(chunks.length).toBe(INJECTIONS.length);
  const stranger = await newSpeaker();
  const [theirs = ''] = await load(stranger, 'Theirs', 'Hallway lamp: a secret of somebody else.');
  const seen = new Set<string>();
  for (const [at] of INJECTIONS.entries()) {
    const key = randomUUID();
    const model = await newSteeredModel({ obedient: true, key });
    const transcript_segment = `${SAID} It is about note ref${at}.`;
    const answer = await analyse(speaker, session, at + 1, model, { transcript_segment });
    expect(answer.analysis).toMatchObject(CALM);
    const { system, user } = await messagesSeen(key);
    for (const text of INJECTIONS) {
      expect(system[0]).not.toContain(text);
      if (user[0]?.includes(text)) seen.add(text);
    }
    expect(user[0]).not.toContain(theirs);
  }
  expect(seen.size).toBe(INJECTIONS.length);

  const quoting = async (citations: object[]) => {
    const key = randomUUID();
    const model = await newSteeredModel({ key, members: { citations } });
    const sequence = 100 + Math.floor(Math.random() * 1_000_000);
    const answer = await analyse(speaker, session, sequence, model, { transcript_segment: `${SAID} Note 7.` });
    expect(outcome(answer)).toBe('200');
    return { sources: answer.analysis.rag_sources, asked: (await seenBySimulator(key)).count };
  };
  const [chunk = ''] = await load(speaker, 'Lamps', 'A hallway lamp that hums has a loose choke. Note 7 says so.');
  const good = { chunk_id: chunk, quote: 'has a loose choke' };
  expect(await quoting([good])).toMatchObject({
    sources: [{ ...good, start_character: 25, end_character: 42 }],
    asked: 1,
  });
  const bad = [
    { chunk_id: chunk, quote: 'must be replaced at once' },
    { chunk_id: theirs, quote: 'a secret of somebody else' },
    { chunk_id: randomUUID(), quote: 'has a loose choke' },
    { chunk_id: 'no id', quote: 'has a loose choke' },
  ];
  for (const one of bad) {
    const { sources, asked } = await quoting([good, one]);
    expect(sources).toMatchObject([good]);
    expect(sources.length).toBe(1);
    expect(asked).toBe(2);
  }
  const stored = await sql(
    `select 1 from public.session_analysis_logs l cross join jsonb_array_elements(l.rag_sources) s
     left join public.rag_chunks c on c.id = (s ->> 'chunk_id')::uuid and c.workspace_id = l.workspace_id
     where l.session_id = $1 and (c.id is null or position(s ->> 'quote' in c.content) = 0)`,
    [session],
  );
  expect(stored).toEqual([]);
});
