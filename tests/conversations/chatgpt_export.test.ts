/** ChatGPT's exports, in both forms, as `import_conversation` takes them. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { conversationOf, type Found, readChatGptExport } from '../../examples/chatgpt-export.ts';
import { runs } from '../support/runs.ts';
import { fixture, zip } from './chatgpt-exports.ts';

async function read(file: Blob): Promise<Found[]> {
  const found: Found[] = [];
  for await (const one of readChatGptExport(file)) found.push(one);
  return found;
}

const names = (found: Found[]) => found.map((one) => ('error' in one ? `${one.name}: ${one.error}` : one.name));

test('the one file: a tree with its branches and current message; what is hidden or empty is left out', async () => {
  const found = await read(new Blob([fixture('one-file')]));
  expect(names(found)).toEqual(['Sorting a list', 'Broken: It has no messages (mapping).', 'conversations.json #3']);
  const [first, , last] = found;
  if (!first || !last || 'error' in first || 'error' in last) throw new Error('not read');
  const { messages, ...facts } = first.conversation;
  expect(facts).toEqual({
    id: '11111111-2222-3333-4444-555555555555',
    title: 'Sorting a list',
    metadata: { model: 'o3' },
    created_at: '2025-06-15T15:06:40.250Z',
    is_archived: true,
    current_message_id: 'n-answer',
  });
  expect(messages.map((m) => [m.id, m.parent_message_id, m.role, m.model_used, m.parts])).toEqual([
    [
      ...['n-question', null, 'user', undefined],
      [
        { type: 'image', name: 'file-service://file-abc' },
        { type: 'text', text: 'How do I sort this list?' },
        { type: 'file', name: 'list.png', media_type: 'image/png' },
      ],
    ],
    ['n-thoughts', 'n-question', 'assistant', 'o3', [{ type: 'reasoning', text: 'Looking\n\nThe list has numbers.' }]],
    [
      ...['n-call', 'n-thoughts', 'assistant', 'o3'],
      [{ type: 'tool_call', id: 'n-call', name: 'python', arguments: 'sorted([3, 1, 2])' }],
    ],
    ['n-output', 'n-call', 'tool', undefined, [{ type: 'tool_result', content: '[1, 2, 3]' }]],
    ['n-answer', 'n-output', 'assistant', 'o3', [{ type: 'text', text: 'It is [1, 2, 3].' }]],
    ['n-first-answer', 'n-question', 'assistant', 'gpt-4o', [{ type: 'text', text: 'Use sort().' }]],
  ]);
  expect(last.conversation.messages[0]?.parts).toEqual([{ type: 'text', text: 'Hello  , "quoted" ] } [ {' }]);
});

test('the ZIP of many files: no metadata, no current node, models at the conversation; what is unreadable is named', async () => {
  const one = JSON.parse(fixture('many-files'))[0];
  const more = Array.from({ length: 50 }, (_, n): [string, string] => [
    `conversations-${String(n + 1).padStart(3, '0')}.json`,
    JSON.stringify([{ ...one, conversation_id: `c${n}`, title: `Trip ${n}` }]),
  ]);
  const found = await read(
    zip({
      'user.json': '{"id": "user-1", "email": "a@example.test"}',
      'message_feedback.json': '[{"id": "x", "rating": "thumbs_up"}]',
      'chat.html': '<html></html>',
      'conversations-000.json': fixture('many-files'),
      ...Object.fromEntries(more),
      'conversations-051.json': '[{"title": "cut off", "mapping": {',
      'conversations-052.json': JSON.stringify({ ...one, title: 'Alone in its file' }),
    }),
  );
  expect(names(found)).toEqual([
    'Trip to Lisbon',
    'In a circle: Its messages go round in a circle.',
    'Without messages: It has no messages (mapping).',
    ...more.map((_, n) => `Trip ${n}`),
    'conversations-051.json #1: The file ends in the middle of a conversation.',
    'Alone in its file',
  ]);
  const [first] = found;
  if (!first || 'error' in first) throw new Error('not read');
  const { messages, current_message_id, created_at } = first.conversation;
  expect({ current_message_id, created_at }).toEqual({
    current_message_id: 'u3',
    created_at: '2026-07-25T17:20:00.750Z',
  });
  expect(messages.map((m) => [m.id, m.parent_message_id, m.model_used, m.created_at])).toEqual([
    ['u1', null, undefined, '2026-07-25T17:20:00.750Z'],
    ['a1', 'u1', 'gpt-5', '2026-07-25T17:20:03.000Z'],
    ['u2', 'a1', undefined, '2026-07-25T17:20:10.000Z'],
    ['u3', 'a1', undefined, '2026-07-25T17:20:20.000Z'],
  ]);
});

test('what is no export, or a ZIP that is cut off, says so', async () => {
  expect(names(await read(new Blob([''])))).toEqual(['conversations.json #1: This is no JSON of conversations.']);
  expect(names(await read(new Blob(['hello'])))).toEqual(['conversations.json #1: This is no JSON of conversations.']);
  expect(names(await read(new Blob(['[]'])))).toEqual([]);
  const whole = zip({ 'conversations.json': fixture('one-file') });
  await expect(read(whole.slice(0, whole.size - 10))).rejects.toThrow('This ZIP is cut off.');
});

test('wherever the bytes are cut into chunks, the same conversations come', async () => {
  const bytes = new TextEncoder().encode(fixture('one-file').replace('Sorting', 'Größe 数据 🙂'));
  const whole = await read(new Blob([bytes]));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 40 }), async (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const chunks = at.slice(1).map((end, n) => bytes.slice(at[n], end));
      const inChunks = {
        size: bytes.length,
        slice: () => new Blob(['[{  ']),
        stream: () => ReadableStream.from(chunks),
      };
      expect(await read(inChunks as unknown as Blob)).toEqual(whole);
    }),
    { numRuns: runs(50) },
  );
});

test('whatever is in a mapping, it is read as a tree with parents first, or refused with a reason', () => {
  const node = fc.record({
    parent: fc.option(fc.constantFrom('a', 'b', 'c', 'd', 'none'), { nil: undefined }),
    children: fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'none')),
    message: fc.option(
      fc.record(
        {
          author: fc.record({ role: fc.constantFrom('user', 'assistant', 'system', 'tool', 'critic') }),
          content: fc.oneof(
            fc.record({ content_type: fc.string(), parts: fc.array(fc.jsonValue()) }),
            fc.record({ content_type: fc.constantFrom('code', 'thoughts', 'tether_quote'), text: fc.jsonValue() }),
            fc.jsonValue(),
          ),
          create_time: fc.oneof(fc.double(), fc.jsonValue()),
          metadata: fc.oneof(fc.jsonValue(), fc.record({ attachments: fc.jsonValue() })),
        },
        { requiredKeys: [] },
      ),
    ),
  });
  const mapping = fc.record({ a: node, b: node, c: node, d: node }, { requiredKeys: [] });
  fc.assert(
    fc.property(mapping, fc.jsonValue(), (mapping, current_node) => {
      let conversation: ReturnType<typeof conversationOf>;
      try {
        conversation = conversationOf({ mapping, current_node });
      } catch (error) {
        expect((error as Error).message).toBe('Its messages go round in a circle.');
        return;
      }
      const { messages, current_message_id } = conversation;
      const before = new Set<string | null>([null]);
      for (const { id, parent_message_id } of messages) {
        expect(before.has(parent_message_id)).toBe(true);
        before.add(id);
      }
      expect(before.has(current_message_id)).toBe(true);
      expect(current_message_id === null).toBe(messages.length === 0);
    }),
    { numRuns: runs(300) },
  );
});
