/** Prompts for videos and images are looked at first, where that is set up. The settings are the project's: one file. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { logsOf, newCaller, newModel, openai, seenBySimulator, walletOf } from '../ai/helpers.ts';
import { serviceClient } from '../support/stack.ts';
import { call, ledgerOf, newMaker, newModelAt, newVideoModel, simulating } from './http_helpers.ts';
import { useStub } from './provider_stub.ts';

const provider = useStub();

async function set(settings: Record<string, string>): Promise<void> {
  for (const [config_key, config_value] of Object.entries(settings)) {
    const { error } = await serviceClient().from('system_config').update({ config_value }).eq('config_key', config_key);
    if (error) throw error;
  }
}
const BLOCK = { moderation_flagged: 'block', moderation_failed: 'block' };
beforeAll(() => set({ prompt_moderation: 'creem', ...BLOCK }));
afterAll(() => set({ prompt_moderation: 'none', ...BLOCK }));

/** By word of the simulator and setting: the status of the answer, its code. */
const TABLE: [word: string, settings: Record<string, string>, status: number, code?: string][] = [
  ['allow', BLOCK, 201],
  ['deny', BLOCK, 400, 'content_policy_violation'],
  ['deny', { moderation_flagged: 'allow', moderation_failed: 'allow' }, 400, 'content_policy_violation'],
  ['flag', BLOCK, 400, 'content_policy_violation'],
  ['flag', { ...BLOCK, moderation_flagged: 'allow' }, 201],
  ['error', BLOCK, 502, 'upstream_error'],
  ['error', { ...BLOCK, moderation_failed: 'allow' }, 201],
];

describe('a video whose prompt is to be answered', () => {
  test.each(TABLE)('%s with %j: %i', async (word, settings, status, code) => {
    await set(settings);
    const [maker, key] = [await newMaker(), randomUUID()];
    const prompt = `${simulating({ key, hold: 'processing' })} [[moderate:${word}]]`;
    const answer = await call(maker, 'POST', '', { body: { model: await newVideoModel(), prompt } });
    expect([answer.status, answer.error?.code]).toEqual([status, code]);
    expect((await seenBySimulator(key)).count).toBe(code ? 0 : 1);
    const { wallet, logs } = await ledgerOf(maker);
    expect(wallet).toEqual({ balance: code ? 103 : 83, spent: code ? 0 : 20, held: 0, drift: 0 });
    const ending = code === 'upstream_error' ? 'failed' : 'refused';
    expect(logs).toEqual(code ? [['video_generation', ending, code, 0]] : []);
    if (code === 'content_policy_violation') expect(answer.error.param).toBe('prompt');
  });

  test('what the provider itself denies was not refused by us', async () => {
    await set(BLOCK);
    const maker = await newMaker();
    const model = await newModelAt({ video_base_url: provider.url });
    provider.answers({ body: { status: 'failed', error: { code: 'content_policy_violation', message: 'No.' } } });
    const answer = await call(maker, 'POST', '', { body: { model, prompt: 'A boat' } });
    expect([answer.status, answer.error.code]).toEqual([400, 'content_policy_violation']);
    expect((await ledgerOf(maker)).logs).toEqual([['video_generation', 'failed', 'content_policy_violation', 0]]);
  });

  test('the negative prompt is looked at as well', async () => {
    await set(BLOCK);
    const body = { model: await newVideoModel(), prompt: 'A boat', negative_prompt: '[[moderate:deny]]' };
    expect(await call(await newMaker(), 'POST', '', { body })).toMatchObject({ status: 400 });
  });
});

describe('an image whose prompt is to be answered', () => {
  test.each(TABLE)('%s with %j: %i', async (word, settings, status, code) => {
    await set(settings);
    const [user, key] = [await newCaller(), randomUUID()];
    const model = await newModel({ scene: 'image_generation' }, { image: 0.01 });
    const prompt = `${simulating({ key })} [[moderate:${word}]]`;
    const asking = openai(user).images.generate({ model, prompt });
    if (code) await expect(asking).rejects.toMatchObject({ status, code });
    else expect((await asking).data).toHaveLength(1);
    expect((await seenBySimulator(key)).count).toBe(code ? 0 : 1);
    expect(await walletOf(user)).toMatchObject({ balance: code ? 3 : 2, held: 0, drift: 0 });
    const ending = code === 'upstream_error' ? 'failed' : code ? 'refused' : 'success';
    expect(await logsOf(user)).toMatchObject([{ status: ending, scene: 'image_generation', error_code: code ?? null }]);
  });
});

test('chat is not looked at', async () => {
  await set(BLOCK);
  const messages = [{ role: 'user' as const, content: 'Hello [[moderate:deny]]' }];
  const answer = await openai(await newCaller()).chat.completions.create({ model: await newModel(), messages });
  expect(answer.choices).toHaveLength(1);
});
