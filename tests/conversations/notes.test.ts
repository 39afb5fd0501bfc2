/** Titles and summaries, which a cheap model writes once an answer is out. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { logsOf, newModel, seenBySimulator, untilLogged } from '../ai/helpers.ts';
import { sql, type TestUser } from '../support/stack.ts';
import { newConversation, newRichCaller, says, send, writeHistory } from './helpers.ts';

/** Settings hold for everyone: the helpers are for a plan that nobody else is on. */
const plan = `helpers_${randomUUID().replaceAll('-', '')}`;
const SETTINGS = ['conversation_title_model', 'conversation_summary_model'];

beforeAll(async () => {
  await sql(`insert into public.plans (plan, name, rank, is_active) values ($1, 'Helpers', $2, false)`, [
    plan,
    Math.ceil(Math.random() * 1_000_000) + 1_000,
  ]);
});
afterAll(async () => {
  await sql(`update public.system_config set config_value = '""' where config_key = any ($1)`, [SETTINGS]);
});

/** Sets the model for one kind of work, which behaves as the directive says; none without one. */
async function setHelper(setting: string, directive?: object): Promise<string> {
  const upstream_model = `simulator-chat[[simulate:${JSON.stringify(directive)}]]`;
  const helper = directive ? await newModel({ upstream_model, minimum_plan: plan, max_output_tokens: 1_000 }) : '';
  await sql('update public.system_config set config_value = to_jsonb($2::text) where config_key = $1', [
    setting,
    helper,
  ]);
  return helper;
}

async function newPerson(): Promise<TestUser> {
  const user = await newRichCaller();
  await sql('update public.workspaces set plan = $2 where id = $1', [user.id, plan]);
  return user;
}

async function until<T>(look: () => Promise<T | undefined | null | ''>): Promise<T> {
  for (let tries = 0; tries < 200; tries += 1) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it did not come');
}

const titleOf = async (conversation: string) =>
  (await sql<{ title: string }>('select title from public.conversations where id = $1', [conversation]))[0]?.title;

const messagesCounted = async (user: TestUser) => {
  const rows = await sql('select to_jsonb(c) as counts from private.ai_request_counts c where workspace_id = $1', [
    user.id,
  ]);
  return rows.flatMap(({ counts }) => Object.entries(counts).filter(([name]) => /messages$/.test(name)))[0]?.[1];
};

describe('a title', () => {
  test('is written after the first answer, charged as a call and counted as no message', async () => {
    const key = randomUUID();
    const helper = await setHelper('conversation_title_model', { key, text: '"A trip to Bern."' });
    const user = await newPerson();
    const model = await newModel();
    const conversation = await newConversation(user, { model });
    await send(user, conversation, { content: 'Where to?' });
    expect(await until(() => titleOf(conversation))).toBe('A trip to Bern');
    const logs = await untilLogged(user, 2);
    expect(logs[1]).toMatchObject({
      model: helper,
      status: 'success',
      scene_description: 'conversation title',
      conversation_id: conversation,
      message_id: null,
    });
    expect(Number(logs[1]?.credits_charged)).toBeGreaterThan(0);
    expect(await messagesCounted(user)).toBe(1);
    // Once, and never in place of a name that its person gave it.
    await send(user, conversation, { content: 'And then?' });
    const named = await newConversation(user, { model, title: 'Mine' });
    await send(user, named, { content: 'Where to?' });
    expect((await seenBySimulator(key)).count).toBe(1);
    expect(await titleOf(named)).toBe('Mine');
    await setHelper('conversation_title_model');
  });

  test('that fails is no matter to the answer, and after three failures none is tried for some minutes', async () => {
    const key = randomUUID();
    const helper = await setHelper('conversation_title_model', { key, error: 401 });
    const user = await newPerson();
    const model = await newModel();
    for (let failures = 1; failures <= 6; failures += 1) {
      const conversation = await newConversation(user, { model });
      const { answer } = await send(user, conversation, { content: 'Where to?' });
      expect(answer.status).toBe('sent');
      await until(async () => (await seenBySimulator(key)).count >= Math.min(failures, 3));
      await until(async () => {
        const [row] = await sql('select failures from private.failing_helpers where model = $1', [helper]);
        return row?.failures >= Math.min(failures, 3);
      });
    }
    expect((await seenBySimulator(key)).count).toBe(3);
    await setHelper('conversation_title_model');
  });
});

describe('a summary', () => {
  test('stands for the beginning of the branches that pass through it, and of no other', async () => {
    const key = randomUUID();
    const helper = await setHelper('conversation_summary_model', { key, text: 'They counted to eight.' });
    const user = await newPerson();
    const model = await newModel({ context_window: 1_000, max_output_tokens: 100 });
    const conversation = await newConversation(user, { model, title: 'Counting' });
    const ids = await writeHistory(user.id, conversation, 20, 30);
    await send(user, conversation, { content: 'on' });
    const [summary] = await until(async () => {
      const rows = await sql('select * from private.conversation_summaries where conversation_id = $1', [conversation]);
      return rows.length > 0 ? rows : undefined;
    });
    expect(summary?.summary).toBe('They counted to eight.');
    const end = ids.indexOf(summary?.message_id);
    expect(end % 2).toBe(1); // an answer
    expect(end).toBeGreaterThan(0);
    expect((await seenBySimulator(key)).requests[0]?.body.messages).toEqual([
      expect.objectContaining({ role: 'system' }),
      { role: 'user', content: expect.stringContaining(`number ${end} `) },
    ]);
    const logs = await untilLogged(user, 2);
    expect(logs[1]).toMatchObject({ model: helper, scene_description: 'conversation summary', status: 'success' });
    expect(await messagesCounted(user)).toBe(1);
    const { data } = await user.client.from('conversations').select('summary').eq('id', conversation).single();
    expect(data?.summary).toBe('They counted to eight.');
    await setHelper('conversation_summary_model');

    const told = async (parent: string | undefined) => {
      const name = randomUUID();
      await send(user, conversation, { content: says({ key: name }), parent_message_id: parent });
      const { body } = (await seenBySimulator(name)).requests[0] ?? {};
      return ((body?.messages ?? []) as { content: string }[]).map(({ content }) => content);
    };
    const through = await told(ids.at(-1));
    expect(through[0]).toContain('They counted to eight.');
    expect(through[1]).toContain(`number ${end + 1} `);
    const beside = await told(ids[end - 2]);
    expect(beside[0]).toContain('number');
    expect(beside.join()).not.toContain('They counted');

    // What was said is gone from it when it is edited or deleted.
    await user.client
      .from('messages')
      .update({ content: 'something else' })
      .eq('id', ids[0] ?? '');
    expect(await sql('select from private.conversation_summaries where conversation_id = $1', [conversation])).toEqual(
      [],
    );
  });

  test('that fails leaves out the oldest messages', async () => {
    const key = randomUUID();
    await setHelper('conversation_summary_model', { key, error: 401 });
    const user = await newPerson();
    const model = await newModel({ context_window: 1_000, max_output_tokens: 100 });
    const conversation = await newConversation(user, { model, title: 'Counting' });
    await writeHistory(user.id, conversation, 60, 30);
    for (let sent = 1; sent <= 2; sent += 1) {
      const name = randomUUID();
      const { answer } = await send(user, conversation, { content: says({ key: name, text: 'fine' }) });
      expect(answer.status).toBe('sent');
      const { body } = (await seenBySimulator(name)).requests[0] ?? {};
      expect(JSON.stringify(body?.messages)).not.toContain('number 0 ');
      await until(async () => (await seenBySimulator(key)).count >= sent);
    }
    await untilLogged(user, 4);
    expect((await logsOf(user)).filter(({ status }) => status === 'failed')).toHaveLength(2);
    await setHelper('conversation_summary_model');
  });
});
