/** What of a conversation fits into a model's window, by generated histories. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Accepted,
  type ChatMessage,
  conversationOf,
  countParts,
  type Part,
  type Remembered,
  toChat,
} from '../../supabase/functions/ai/context.ts';
import { countTokens } from '../../supabase/functions/ai/tokenizer.ts';
import { runs } from '../support/runs.ts';

const WORDS = ['the', 'ledger', '数据库', 'かな', ' ', '\n', 'Äpfel', '👍🏽', '{"a":1}', 'zzzzzzzzzz', '0123456789'];
const text = fc.array(fc.constantFrom(...WORDS), { minLength: 1, maxLength: 120 }).map((words) => words.join(' '));
const textPart = text.map((words): Part => ({ type: 'text', text: words }));
const toolId = fc.constantFrom('a', 'b', 'c');
const part = fc.oneof(
  { weight: 5, arbitrary: textPart },
  toolId.map((id): Part => ({ type: 'tool_call', id, name: 'look_up', arguments: { id } })),
  toolId.map((id): Part => ({ type: 'tool_result', tool_call_id: id, content: 'found' })),
  fc.constant<Part>({ type: 'image', url: 'https://example.test/a.png' }),
  text.map((name): Part => ({ type: 'file', name })),
  fc.constant<Part>({ type: 'data-chart', data: [1] }),
  text.map((words): Part => ({ type: 'reasoning', text: words })),
);
const role = fc.constantFrom<Remembered['role']>('user', 'assistant', 'user', 'assistant', 'tool', 'system');
const history = fc.array(fc.record({ role, parts: fc.array(part, { minLength: 1, maxLength: 4 }) }), { maxLength: 40 });
const limits = {
  context_window: fc.integer({ min: 50, max: 3_000 }),
  max_output_tokens: fc.integer({ min: 0, max: 4_000 }),
  content_parts: fc.constantFrom<Accepted>({}, { image_url: 85 }, { image_url: null }),
  system_prompt: fc.oneof(fc.constant(''), text),
};

/** Tokens of what a provider gets, counted anew; pictures at their bound. */
async function tokensOf(messages: ChatMessage[]): Promise<number> {
  const texts = messages.flatMap(({ content, tool_calls }) => [
    ...(typeof content === 'string' ? [content] : (content as Part[]).map((one) => String(one.text ?? ''))),
    ...((tool_calls ?? []) as { id: string; function: { name: string; arguments: string } }[]).flatMap((call) => [
      call.id,
      call.function.name,
      call.function.arguments,
    ]),
  ]);
  return (await countTokens(texts)).tokens;
}

test('no history exceeds the window; the newest question always comes, and pairs stay together', async () => {
  let fits = 0;
  await fc.assert(
    fc.asyncProperty(
      history,
      textPart,
      fc.record(limits),
      fc.option(fc.integer({ min: 1, max: 4_000 })),
      fc.constantFrom(1, 0.8),
      async (before, question, model, wanted, share) => {
        const all = await Promise.all(
          [...before, { role: 'user' as const, parts: [question] }].map(async (message, index) => ({
            ...message,
            id: String(index),
            tokens: await countParts(message.parts),
          })),
        );
        const instructions = await countParts([{ type: 'text', text: model.system_prompt }]);
        const told = conversationOf(model, all, instructions, wanted, false, share);
        const reserved = Math.min(wanted ?? model.max_output_tokens, Math.floor(model.context_window / 2));
        const room = (model.context_window - reserved) * share;
        const last = all.at(-1)?.tokens ?? 0;
        if (!told) {
          expect(last + instructions).toBeGreaterThan(room);
          return;
        }
        fits += 1;
        const tokens = await tokensOf(told.messages);
        expect(tokens).toBeLessThanOrEqual(room);
        expect(tokens + (told.most ?? 0)).toBeLessThanOrEqual(model.context_window);
        expect(told.messages.at(-1)).toEqual({ role: 'user', content: question.text });
        // A result follows its call, and a call has its result.
        const open = new Set<unknown>();
        for (const { role: one, tool_call_id, tool_calls } of told.messages) {
          if (one === 'tool') expect(open.delete(tool_call_id)).toBe(true);
          for (const call of (tool_calls ?? []) as { id: string }[]) open.add(call.id);
        }
        expect([...open]).toEqual([]);
      },
    ),
    { numRuns: runs(1_000) },
  );
  expect(fits).toBeGreaterThan(500);
});

test('as many of the newest messages come as fit, questions with their answers', () => {
  const message = (id: number, role: 'user' | 'assistant', tokens: number) => ({
    id: String(id),
    role,
    parts: [{ type: 'text', text: `${role} ${id}` }],
    tokens,
  });
  const all = [
    message(1, 'user', 10),
    message(2, 'assistant', 10),
    message(3, 'user', 10),
    message(4, 'assistant', 10),
    message(5, 'user', 10),
  ];
  const model = { context_window: 60, max_output_tokens: 10, content_parts: {}, system_prompt: '' };
  const saidWith = (window: number) =>
    conversationOf({ ...model, context_window: window }, all, 0, null, false, 1)?.messages.map(
      ({ content }) => content,
    );
  expect(saidWith(60)).toHaveLength(5);
  expect(saidWith(59)).toEqual(['user 3', 'assistant 4', 'user 5']);
  expect(saidWith(40)).toEqual(['user 3', 'assistant 4', 'user 5']);
  expect(saidWith(39)).toEqual(['user 5']);
  expect(saidWith(19)).toEqual(['user 5']); // at least half of a window is for what came before
  expect(saidWith(18)).toBeUndefined();
});

test('files are named; pictures are, where the model takes none', async () => {
  const parts: Part[] = [
    { type: 'text', text: 'Read these.' },
    { type: 'file', attachment_id: 'a', name: 'notes.txt' },
    { type: 'file', filename: 'plan.pdf', url: 'https://example.test/plan.pdf' },
    { type: 'file', name: 'x'.repeat(10_000) },
    { type: 'image', url: 'https://example.test/a.png' },
  ];
  const asked = { role: 'user' as const, parts };
  const [earlier] = toChat([asked, { role: 'user', parts: [] }], {});
  const said = ['Read these.', '[file notes.txt]', '[file plan.pdf]', `[file ${'x'.repeat(200)}]`, '[image]'];
  expect(earlier?.content).toBe(said.join('\n\n'));
  expect(await countParts(parts)).toBeGreaterThan((await countTokens(said)).tokens);
});
