/** Conversations in and out through supabase-js: what is imported is exported again as it was. */
import { randomUUID } from 'node:crypto';
import type { UIMessage } from 'ai';
import * as commonmark from 'commonmark';
import * as fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { type ConversationData, readChatGptExport } from '../../examples/chatgpt-export.ts';
import { toRow, toUIMessage } from '../../examples/ui-messages.ts';
import { runs } from '../support/runs.ts';
import { anonClient, env, newUser, sql, type TestUser } from '../support/stack.ts';
import { fixture, zip } from './chatgpt-exports.ts';

let owner: TestUser;

beforeAll(async () => {
  owner = await newUser();
  await sql(`update public.workspaces set plan = 'pro' where id = $1`, [owner.id]);
});

type Answer = { conversation_id: string; imported: boolean; messages?: number };

async function importOne(source: string, data: object, { client } = owner): Promise<Answer> {
  const { data: answer, error } = await client.rpc('import_conversation', { source, data: data as never });
  if (error) throw new Error(`${error.message}: ${error.details}`);
  return answer as Answer;
}

type Exported = { messages: Record<string, unknown>[]; current_message_id: string | null } & Record<string, unknown>;

async function exportOne(conversation_id: string, format = 'json'): Promise<unknown> {
  const { data, error } = await owner.client.rpc('export_conversation', { conversation_id, format });
  if (error) throw error;
  return data;
}

/** An export with places for ids, and without where it came from: what an import keeps. */
function withoutIds({ id, messages, current_message_id, metadata, ...facts }: Exported): object {
  const place = (wanted: unknown) => messages.findIndex((message) => message.id === wanted);
  const own = (value: unknown) => {
    const { imported, ...others } = value as Record<string, unknown>;
    return others;
  };
  return {
    ...facts,
    metadata: own(metadata),
    current: place(current_message_id),
    messages: messages.map(({ id, parent_message_id, metadata, ...others }) => ({
      ...others,
      follows: place(parent_message_id),
      metadata: own(metadata),
    })),
  };
}

/** Ones that are generated, ms. */
const TIMEOUT = { timeout: runs(30_000) };

test('both forms of a ChatGPT export are imported, once each; the unreadable are named', async () => {
  const person = await newUser();
  const files = [new Blob([fixture('one-file')]), zip({ 'conversations-000.json': fixture('many-files') })];
  const importAll = async () => {
    const done: string[] = [];
    for (const file of files) {
      for await (const found of readChatGptExport(file)) {
        if ('error' in found) done.push(`${found.name}: ${found.error}`);
        else done.push(`${found.name}: ${(await importOne('chatgpt', found.conversation, person)).imported}`);
      }
    }
    return done;
  };
  const unreadable = ['Broken: It has no messages (mapping).', 'In a circle: Its messages go round in a circle.'];
  const first = await importAll();
  expect(first).toEqual(expect.arrayContaining([...unreadable, 'Sorting a list: true', 'Trip to Lisbon: true']));
  expect((await importAll()).filter((line) => line.endsWith('true'))).toEqual([]);
  const { data } = await person.client.from('conversations').select('title, message_count, is_archived, total_cost');
  expect(data?.sort((a, b) => a.title.localeCompare(b.title))).toEqual([
    { title: '', message_count: 1, is_archived: false, total_cost: 0 },
    { title: 'Sorting a list', message_count: 6, is_archived: true, total_cost: 0 },
    { title: 'Trip to Lisbon', message_count: 4, is_archived: false, total_cost: 0 },
  ]);
});

test('twenty imports of the same at once write it once', async () => {
  const data = { id: randomUUID(), messages: [{ role: 'user', content: 'once' }] };
  const answers = await Promise.all(Array.from({ length: 20 }, () => importOne('elsewhere', data)));
  expect(answers.filter(({ imported }) => imported)).toHaveLength(1);
  expect(new Set(answers.map(({ conversation_id }) => conversation_id)).size).toBe(1);
});

// What jsonb keeps: neither U+0000 nor half a surrogate pair, and no negative zero.
const text = fc.string({ unit: 'grapheme', maxLength: 20 }).map((said) => said.replace(/\0|\p{Surrogate}/gu, ''));
const json = fc
  .jsonValue({ maxDepth: 3, stringUnit: 'grapheme' })
  .map((value) => JSON.parse(JSON.stringify(value).replace(/\\u0000/g, '')));

test('an export is imported again as it was: branches, current message, parts', TIMEOUT, async () => {
  const part = fc.oneof(
    fc.record({ type: fc.constantFrom('text', 'refusal', 'reasoning'), text }),
    fc.record({ type: fc.constantFrom('image', 'file', 'data-x', 'tool_call'), name: text, value: json }),
  );
  const message = fc.record({
    role: fc.constantFrom('user', 'assistant', 'system', 'tool'),
    parts: fc.array(part, { maxLength: 3 }),
    follows: fc.nat(),
    age: fc.nat(1e9),
    status: fc.constantFrom('sent', 'failed', 'stopped'),
    model_used: fc.option(fc.constantFrom('a model', 'b')),
    metadata: fc.dictionary(fc.constantFrom('a', 'b'), json),
  });
  const tree = fc.record({
    title: text,
    tags: fc.array(fc.constantFrom('one', 'two', 'three'), { maxLength: 3 }),
    is_pinned: fc.boolean(),
    messages: fc.array(message, { maxLength: 8 }),
    current: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(tree, async ({ messages, current, ...facts }) => {
      const named = messages.map(({ follows, age, ...others }, n) => ({
        ...others,
        id: `m${n}`,
        parent_message_id: follows % (n + 1) === 0 ? null : `m${(follows % (n + 1)) - 1}`,
        created_at: new Date(1.7e12 + age).toISOString(),
      }));
      const given = { ...facts, id: randomUUID(), current_message_id: `m${current % 8}`, messages: named };
      const first = (await exportOne((await importOne('elsewhere', given)).conversation_id)) as Exported;
      expect(first.messages.map((m) => [m.role, m.parts])).toEqual(named.map((m) => [m.role, m.parts]));
      const again = await importOne('basemeter', first);
      expect(again).toMatchObject({ imported: true, messages: named.length });
      expect(withoutIds((await exportOne(again.conversation_id)) as Exported)).toEqual(withoutIds(first));
    }),
    { numRuns: runs(25) },
  );
});

const uiPart = fc.oneof(
  fc.record({ type: fc.constant('text'), text, state: fc.constant('done') }),
  fc.record({ type: fc.constant('reasoning'), text, providerMetadata: json }),
  fc.record({ type: fc.constant('step-start') }),
  fc.record({ type: fc.constant('source-url'), sourceId: text, url: fc.webUrl(), title: text }),
  fc.record({
    type: fc.constant('source-document'),
    sourceId: text,
    mediaType: fc.constant('application/pdf'),
    title: text,
  }),
  fc.record({ type: fc.constant('file'), mediaType: fc.constant('image/png'), filename: text, url: fc.webUrl() }),
  fc.record({ type: fc.constant('data-weather'), id: text, data: json }),
  fc.record({
    type: fc.constant('tool-search'),
    toolCallId: text,
    state: fc.constant('output-available'),
    input: json,
    output: json,
  }),
  fc.record({
    type: fc.constant('dynamic-tool'),
    toolName: text,
    toolCallId: text,
    state: fc.constant('input-available'),
    input: json,
  }),
);
const uiMessage = fc.record(
  {
    id: fc.oneof(fc.uuid(), fc.stringMatching(/^[A-Za-z0-9]{16}$/)),
    role: fc.constantFrom('user', 'assistant', 'system'),
    parts: fc.array(uiPart, { maxLength: 6 }),
    metadata: json,
  },
  { requiredKeys: ['id', 'role', 'parts'] },
);

test('a list of UIMessages comes out of messages as it went in', TIMEOUT, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(uiMessage, { maxLength: 6 }), async (generated) => {
      const messages = generated as UIMessage[];
      const data = { id: randomUUID(), messages: messages.map(toRow) };
      const { conversation_id } = await importOne('ai-sdk', data);
      const branch = await owner.client.rpc('conversation_branch', { conversation_id });
      expect((branch.data as never[]).map(toUIMessage)).toEqual(messages);

      // A person's own are written by an insert as well.
      const mine = messages.filter(({ role }) => role === 'user');
      const conversation = await owner.client.from('conversations').insert({}).select('id').single();
      const own = conversation.data?.id as string;
      const rowsOfMine = mine.map((message) => ({ conversation_id: own, ...toRow(message) }));
      const { error } = await owner.client.from('messages').insert(rowsOfMine as never);
      expect(error).toBeNull();
      const rows = await owner.client.from('messages').select().eq('conversation_id', own).order('sequence_number');
      expect((rows.data as never[]).map(toUIMessage)).toEqual(mine);
    }),
    { numRuns: runs(25) },
  );
});

test('no JSON makes a 5xx, and what is refused has a code', TIMEOUT, async () => {
  const broken = fc.oneof(
    json,
    fc.record({ messages: json }),
    fc.record(
      {
        title: json,
        tags: json,
        created_at: json,
        is_pinned: json,
        metadata: json,
        current_message_id: json,
        messages: fc.array(
          fc.record(
            {
              id: json,
              parent_message_id: json,
              role: fc.constantFrom('user', 'assistant', 'x'),
              parts: json,
              content: json,
            },
            { requiredKeys: [] },
          ),
        ),
      },
      { requiredKeys: [] },
    ),
  );
  await fc.assert(
    fc.asyncProperty(broken, async (data) => {
      const { error, status } = await owner.client.rpc('import_conversation', {
        source: 'elsewhere',
        data: data as never,
      });
      expect(status).toBeLessThan(500);
      if (error) expect(error.message).toMatch(/^(invalid_request|not_found)$/);
    }),
    { numRuns: runs(100) },
  );
  const send = (body: string) =>
    fetch(`${env.API_URL}/rest/v1/rpc/import_conversation`, {
      method: 'POST',
      headers: {
        apikey: env.PUBLISHABLE_KEY as string,
        authorization: `Bearer ${owner.accessToken}`,
        'content-type': 'application/json',
      },
      body,
    });
  for (const data of ['{', '"\\u0000"', '"\\ud800"', '1e999999', `${'['.repeat(50_000)}${']'.repeat(50_000)}`]) {
    const { status } = await send(`{"source": "elsewhere", "data": ${data}}`);
    expect([data.slice(0, 20), status]).toEqual([
      data.slice(0, 20),
      expect.toSatisfy((code) => code >= 400 && code < 500),
    ]);
  }
});

test('a free account imports so much a day', async () => {
  const person = await newUser();
  const large = { messages: [{ role: 'user', content: 'x'.repeat(2_000_000) }] };
  const less = { messages: [{ role: 'user', content: 'x'.repeat(300_000) }] };
  await sql('select private.has_room_for_content($1, 3000000)', [person.id]);
  expect(await importOne('elsewhere', large, person)).toMatchObject({ imported: true });
  const second = await person.client.rpc('import_conversation', { source: 'elsewhere', data: less as never });
  expect(second).toMatchObject({ status: 429, error: { message: 'limit_reached' } });
  // What was imported already takes no more room.
  expect(await importOne('elsewhere', large, person)).toMatchObject({ imported: false });
});

test('in Markdown no text makes another speaker: each stays in the quote below who said it', TIMEOUT, async () => {
  const piece = fc.oneof(
    text,
    fc.constantFrom(
      '```',
      '````',
      '~~~',
      '- ',
      '  ',
      '    ',
      '\t',
      '> ',
      '\n',
      '\r',
      '\u2028',
      '## Assistant',
      '===',
      '---',
      '1. ',
    ),
    fc.constantFrom(
      '</blockquote>',
      '<h2>',
      '<!--',
      '-->',
      '<script>',
      '<![CDATA[',
      '<?',
      '&lt;',
      '\\',
      '`',
      '[a]: /b "',
      '|',
      '$$',
    ),
  );
  const said = fc.array(piece, { minLength: 1, maxLength: 12 }).map((pieces) => pieces.join(''));
  await fc.assert(
    fc.asyncProperty(said, fc.array(said, { minLength: 1, maxLength: 4 }), async (title, texts) => {
      const messages = texts.map((content, n) => ({ role: n % 2 ? 'assistant' : 'user', content, model_used: title }));
      const data = { id: randomUUID(), title, messages: messages.filter(({ content }) => content !== '') };
      const { conversation_id } = await importOne('elsewhere', data);
      const markdown = (await exportOne(conversation_id, 'markdown')) as string;
      const top: string[] = [];
      const walker = new commonmark.Parser().parse(markdown).walker();
      for (let step = walker.next(); step; step = walker.next()) {
        const { type, parent, level } = step.node;
        expect(type).not.toMatch(/^html_/);
        if (step.entering && parent?.type === 'document') top.push(type === 'heading' ? `h${level}` : type);
      }
      expect(top).toEqual(['h1', ...data.messages.flatMap(() => ['h2', 'block_quote'])]);
    }),
    { numRuns: runs(60) },
  );
});

test('who is not signed in neither imports nor exports', async () => {
  const { conversation_id } = await importOne('elsewhere', { id: randomUUID(), messages: [] });
  const anyone = anonClient();
  expect((await anyone.rpc('export_conversation', { conversation_id })).status).toBe(401);
  expect((await anyone.rpc('import_conversation', { source: 'x', data: {} })).status).toBe(401);
  const data: ConversationData = { title: '', is_archived: false, current_message_id: null, messages: [] };
  expect(await importOne('elsewhere', { ...data, id: randomUUID() })).toMatchObject({ messages: 0 });
});
