/** Payments are matched by an e-mail address while an event of the same payer is applied: neither waits for the other in a circle. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { untilBlocked } from '../support/callers.ts';
import { sqlAs } from '../support/stack.ts';
import { newAccount } from '../support/wallets.ts';

let sessions: [keeper: pg.Client, event: pg.Client, matching: pg.Client];
beforeAll(async () => {
  sessions = [await sqlAs('postgres'), await sqlAs('postgres'), await sqlAs('postgres')];
});
afterAll(() => Promise.all(sessions.map((session) => session.end())));

const receive = (session: pg.Client, customer: string, email: string, owner?: string) =>
  session.query(`select public.receive_payment_event('creem', $1, 'test', now(), '{}', $2) ->> 'state' as state`, [
    `evt_${randomUUID()}`,
    {
      rank: 0,
      customer: { id: customer, email },
      ...(owner && { owner: { user_id: owner } }),
      payment: { id: `tran_${randomUUID()}`, status: 'succeeded', kind: 'purchase', amount: 1000, currency: 'USD' },
    },
  ]);

/** A person with a confirmed address that two customers have paid with, unmatched as yet. */
async function newPayer() {
  const [keeper] = sessions;
  const id = await newAccount(3);
  const email = `payer-${id}@example.test`;
  await keeper.query(
    `update auth.users set instance_id = '00000000-0000-0000-0000-000000000000', email = $2, email_confirmed_at = now()
     where id = $1`,
    [id, email],
  );
  const customers = ['a', 'b'].map((name) => `cust_${name}_${id}`);
  for (const customer of customers) await receive(keeper, customer, email);
  return { id, email, customers };
}

/** Begins a transaction that sees payments matched by address, as nobody else does. */
async function beginMatching(session: pg.Client) {
  await session.query('begin');
  await session.query(
    `update public.system_config set config_value = 'true' where config_key = 'match_payments_by_email'`,
  );
}

/** Holds the wallet of a person until it is let go. */
async function keepWallet(id: string) {
  const [keeper] = sessions;
  await keeper.query('begin');
  await keeper.query('select from public.credit_wallets where workspace_id = $1 for no key update', [id]);
}

test('who has confirmed an address gets all that was paid with it, beside an event of one of its customers', async () => {
  const [keeper, event, matching] = sessions;
  const { id, email, customers } = await newPayer();
  await keepWallet(id);
  await beginMatching(matching);
  const matched = matching.query('update auth.users set email_confirmed_at = clock_timestamp() where id = $1', [id]);
  await untilBlocked(matching);
  const received = receive(event, customers[1] ?? '', email, id);
  await untilBlocked(event);
  await keeper.query('commit');
  await matched;
  const { rows } = await matching.query(
    'select count(*)::integer as matched from public.unmatched_payment_emails where email = $1 and workspace_id = $2',
    [email, id],
  );
  expect(rows).toEqual([{ matched: 2 }]);
  await matching.query('rollback');
  expect((await received).rows).toEqual([{ state: 'applied' }]);
});

test('the scheduled work leaves a payment whose event is being applied for the next time', async () => {
  const [keeper, event, matching] = sessions;
  const { id, email, customers } = await newPayer();
  await keepWallet(id);
  const [first = '', second = ''] = customers;
  await event.query('begin');
  const received = receive(event, first, email, id);
  await untilBlocked(event);
  await keeper.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`creem:customer ${second}`]);
  await beginMatching(matching);
  // Those of others, which are nobody's hindrance here.
  for (let found = true; found; ) {
    found = (await matching.query('select private.match_next_payment(now()) as found')).rows[0]?.found;
  }
  // It holds nothing that the event needs.
  await keeper.query('commit');
  expect((await received).rows).toEqual([{ state: 'applied' }]);
  await event.query('commit');
  await matching.query('rollback');
});
