import { expect, test } from 'vitest';
import { SCHEDULE, webhookSecrets } from '../../scripts/stack.ts';
import { env, sql } from '../support/stack.ts';

test('what the local stack does from time to time is there', async () => {
  const [found] = await sql('select to_regproc($1) is not null as is_there', [SCHEDULE.databaseFunction]);
  expect(found).toEqual({ is_there: true });
  for (const { path } of SCHEDULE.calls) {
    const headers = { apikey: env.SECRET_KEY };
    const answer = await fetch(`${env.FUNCTIONS_URL}/${path}`, { method: 'POST', headers });
    expect([path, answer.status]).toEqual([path, 200]);
  }
});

test('the developer’s own webhook secret goes before the stack’s, which stay the same from start to start', () => {
  const keys = { jwtSecret: 'any' } as Parameters<typeof webhookSecrets>[1];
  const own = webhookSecrets({}, keys);
  expect(own).toEqual(webhookSecrets({}, keys));
  expect(own.CREEM_WEBHOOK_SECRET).not.toBe(own.STRIPE_WEBHOOK_SECRET);
  expect(webhookSecrets({ CREEM_WEBHOOK_SECRET: 'own' }, keys)).toEqual({ ...own, CREEM_WEBHOOK_SECRET: 'own' });
});
