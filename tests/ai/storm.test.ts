/** Many streams at once, a third left by their clients, a third cut off by the provider. */
import { randomInt, randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { sql } from '../support/stack.ts';
import {
  AI_URL,
  newCaller,
  newModel,
  newProvider,
  seenBySimulator,
  simulate,
  untilLogged,
  walletOf,
} from './helpers.ts';

const STREAMS = 51;
const TOKENS = 30;
/** " the" is four bytes, a token to the simulator (four bytes each), and a token to the tokenizer as well. */
const TEXT = ' the'.repeat(TOKENS);

type Fate = 'whole' | 'left, drained' | 'left, stopped' | 'cut off';
const fates: Fate[] = ['whole', 'left, drained', 'cut off', 'whole', 'left, stopped', 'cut off'];

test('each has one log row and one settlement, and is charged what the provider delivered', async () => {
  const user = await newCaller();
  await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual')`, [user.id]);
  const price = { output: 1000 }; // 0.1 credits a token
  const drained = await newModel({}, price);
  const stopped = await newModel({ provider: await newProvider({ disconnect_policy: 'cancel' }) }, price);
  const calls = Array.from({ length: STREAMS }, (_, index) => ({ fate: fates[index % 6] as Fate, key: randomUUID() }));

  const seen = await Promise.all(
    calls.map(async ({ fate, key }) => {
      const leaving = new AbortController();
      const directive = {
        key,
        text: TEXT,
        chunk_delay_ms: 5,
        ...(fate === 'cut off' ? { cut_after: randomInt(1, TOKENS) } : {}),
      };
      const answer = await fetch(`${AI_URL}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${user.accessToken}`, 'x-ai-reference': key },
        body: JSON.stringify({
          model: fate === 'left, stopped' ? stopped : drained,
          stream: true,
          messages: simulate(directive),
        }),
        signal: leaving.signal,
      });
      const staysFor = fate.startsWith('left') ? randomInt(1, TOKENS) : Infinity;
      let tokens = 0;
      const decoder = new TextDecoder();
      const reader = answer.body?.getReader();
      for (let read = await reader?.read(); read?.value; read = await reader?.read()) {
        tokens += decoder.decode(read.value).split('"content":" the"').length - 1;
        if (tokens < staysFor) continue;
        // It reads no more: where all has arrived already, Node's fetch neither ends nor fails after this.
        leaving.abort();
        break;
      }
      return tokens;
    }),
  );

  const logs = await untilLogged(user, STREAMS);
  expect(logs).toHaveLength(STREAMS);
  const charged = (key: string) => {
    const log = logs.find(({ reference_id }) => reference_id === key);
    return Math.round(Number(log?.credits_charged) * 10);
  };
  for (const [index, { fate, key }] of calls.entries()) {
    const delivered = (await seenBySimulator(key)).requests[0]?.tokens_delivered ?? 0;
    if (fate === 'cut off') expect(charged(key)).toBe(0);
    else if (fate !== 'left, stopped') expect(charged(key)).toBe(delivered);
    else {
      // What was on its way when the provider was stopped is neither seen by the client nor all counted by us.
      expect(charged(key)).toBeGreaterThanOrEqual(seen[index] as number);
      expect(charged(key)).toBeLessThanOrEqual(delivered);
    }
  }
  const total = calls.reduce((sum, { key }) => sum + charged(key), 0);
  const wallet = await walletOf(user);
  expect(wallet).toMatchObject({ held: 0, drift: 0 });
  expect(wallet?.spent).toBeCloseTo(total / 10, 6);
  const [settled] = await sql(
    `select count(*)::integer as entries, count(distinct hold_id)::integer as holds from public.credit_transactions
     where workspace_id = $1 and transaction_type = 'debit'`,
    [user.id],
  );
  expect(settled).toEqual({
    entries: calls.filter(({ key }) => charged(key) > 0).length,
    holds: calls.filter(({ key }) => charged(key) > 0).length,
  });
});
