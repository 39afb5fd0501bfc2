/** `npm run pay`: delivers a payment event to the running local stack, signed as the platform signs it. */
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { messageOf, readRunningState, StackError, withClient } from '@basemeter/local-supabase';
import {
  CATALOGUE_COLUMNS,
  type CatalogueProduct,
  deliver,
  eventTypes,
  idTail,
  isAboutSubscription,
  type Platform,
  parseProducts,
  paymentMadeBy,
  storyProduct,
  type Telling,
  tellEvent,
} from '@basemeter/simulators';
import { DEV_DATA_DIR } from '../paths.ts';
import { runningEnv } from './status.ts';

const USAGE = `npm run pay -- <creem|stripe> <event type> --user <email or id> [options]

  --workspace <id>      the team that it is for; without it the person's own workspace
  --product <id>        a product id, a price id or a plan's name; without it the platform's first product that fits
  --subscription <id>   another subscription than the person's usual one
  --payment <id>        another payment, or a word that tells one purchase of a pack from another
  --event <id>          the event's id; the same one again is a repeated delivery
  --amount <n>          minor units, of the payment, refund or dispute that the event tells of
  --status <word>       the status of the subscription, or of the dispute (won, lost), in the platform's words
  --unmatched           the event names nobody of ours; --user is then any address
  --cancel-at-period-end
  --at <ISO time>       when it happened; a month later is a renewal

Ids are derived from the person, the product and the period at that time, so that commands one after the other tell one story:

  npm run pay -- creem subscription.paid --user ana@example.com --product pro
  npm run pay -- creem refund.created --user ana@example.com --product pro

Event types of Creem:
${listOf(eventTypes('creem'))}

Event types of Stripe:
${listOf(eventTypes('stripe'))}`;

function listOf(types: readonly string[]): string {
  return types.map((type) => `  ${type}`).join('\n');
}

/** Delivers one event and prints what the webhook said. Exit code 1 unless that was 200. */
export async function run(args: string[]): Promise<number> {
  if (args.length === 0 || args.includes('--help')) {
    console.log(USAGE);
    return args.length === 0 ? 1 : 0;
  }
  const wanted = readArguments(args);
  const state = readRunningState(DEV_DATA_DIR);
  if (!state?.ready) throw new StackError('Basemeter does not run; `npm start` starts it.');
  const env = runningEnv(state);
  const telling = await findStory(env.DB_URL, wanted);
  const event = tellEvent(telling);
  const secrets = { creem: env.CREEM_WEBHOOK_SECRET, stripe: env.STRIPE_WEBHOOK_SECRET };
  const payer = telling.workspace_id ?? telling.user.id;
  const before = await ledgerOf(env.DB_URL, payer);
  const { status, body } = await deliver(wanted.platform, event, { functionsUrl: env.FUNCTIONS_URL, secrets });
  console.log(`${wanted.event_id} ${wanted.type}: ${status} ${body}`);
  const after = await ledgerOf(env.DB_URL, payer);
  const changed = telling.is_unmatched ? [] : changes(before, after, telling);
  for (const line of [...changed, ...(await stateOf(env.DB_URL, telling))]) console.log(`  ${line}`);
  return status === 200 ? 0 : 1;
}

/** What an event may change of a workspace: each fact in words under a name of its own. */
type Ledger = Map<string, string>;

async function ledgerOf(databaseUrl: string, workspace: string): Promise<Ledger> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query(
      `select 'credits' as name, trim_scale(w.credits_balance)::text || case when w.frozen_at is not null then ' (frozen)' else '' end as words
         from public.credit_wallets w where w.workspace_id::text = $1
       union all select 'plan', concat_ws(' ', c.plan, c.status) from public.current_subscriptions c where c.workspace_id::text = $1
       union all select 'payment ' || p.payment_id, p.status::text from public.payments p where p.workspace_id::text = $1
       union all select 'entry ' || t.id, format('%s %s %s', t.transaction_type, trim_scale(t.amount), t.reason)
         from public.credit_transactions t where t.workspace_id::text = $1
       order by 1`,
      [workspace],
    );
    return new Map(rows.map(({ name, words }) => [name, words]));
  });
}

/** What is another now, in words; that nothing is, and why, where nothing is. */
export function changes(before: Ledger, after: Ledger, telling?: Telling): string[] {
  const changed = [...after].filter(([name, words]) => before.get(name) !== words);
  const payment = telling && paymentMadeBy(telling);
  if (changed.length === 0 && before.has(`payment ${payment}`)) {
    const another = telling?.product.billing_period ? 'a later --at' : '--payment <word>';
    return [`Nothing changed: ${payment} was received before; ${another} makes another.`];
  }
  if (changed.length === 0) return ['Nothing changed.'];
  return changed.map(([name, words]) =>
    before.has(name) ? `${name}: ${before.get(name)} -> ${words}` : `${name}: ${words}`,
  );
}

/** What became of the event, in words: its state with the reason, and where an admin finds a payer who is nobody of ours. */
export async function stateOf(databaseUrl: string, { platform, event_id }: EventName): Promise<string[]> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query(
      `select e.id, e.state, u.id as unmatched_id, coalesce(e.error_message,
           case e.state when 'ignored' then 'nothing follows from it' when 'received' then 'not applied yet' end) as reason
         from public.payment_events e
         left join public.unmatched_payment_emails u
           on u.platform = e.platform and u.customer_id = e.customer_id and u.resolved_at is null
         where e.platform::text = $1 and e.event_id = $2`,
      [platform, event_id],
    );
    return rows.flatMap(({ id, state, reason, unmatched_id }) => [
      `payment_events ${id}: ${state}${reason ? `: ${reason}` : ''}`,
      ...(unmatched_id ? [`unmatched_payment_emails ${unmatched_id}: the payer is no account of ours`] : []),
    ]);
  });
}

type EventName = Pick<Telling, 'platform' | 'event_id'>;

type Wanted = Omit<Telling, 'user' | 'product' | 'trialDays'> & { user: string; product: string | undefined };

/** Reads the command line. Throws a StackError that says what is off. */
function readArguments(args: string[]): Wanted {
  const { values, positionals } = parse(args);
  const [platform = '', type = ''] = positionals;
  if (!isPlatform(platform)) throw new StackError(`The platform is creem or stripe, not "${platform}".`);
  if (!type) throw new StackError('Name an event after the platform; `npm run pay` lists them.');
  if (!eventTypes(platform).includes(type)) {
    throw new StackError(`${platform} has no event "${type}"; \`npm run pay\` lists them.`);
  }
  if (!values.user) throw new StackError('--user is missing: the email address or id of the person who pays.');
  const at = new Date(values.at ?? Date.now());
  if (Number.isNaN(at.getTime()))
    throw new StackError(`--at ${values.at} is no time; write it like 2026-02-01T12:00Z.`);
  return {
    platform,
    type,
    user: values.user,
    product: values.product,
    event_id: values.event ?? `evt_${idTail(randomUUID())}`,
    at: at.toISOString(),
    workspace_id: values.workspace,
    subscription_id: values.subscription,
    payment: values.payment,
    amount: readAmount(values.amount),
    status: values.status,
    cancel_at_period_end: values['cancel-at-period-end'],
    is_unmatched: values.unmatched,
  };
}

function parse(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const named = { user: text, product: text, subscription: text, payment: text, event: text, amount: text, at: text };
  const options = { ...named, workspace: text, status: text, 'cancel-at-period-end': flag, unmatched: flag };
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new StackError(messageOf(error));
  }
}

function isPlatform(word: string): word is Platform {
  return word === 'creem' || word === 'stripe';
}

function readAmount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new StackError(`--amount ${text} is no number of minor units, such as 1900.`);
  return Number(text);
}

/** Finds the person and the product. Throws a StackError where there is none. */
async function findStory(databaseUrl: string, wanted: Wanted): Promise<Telling> {
  return withClient(databaseUrl, async (client) => {
    const users = await client.query(
      'select id, email, created_at from auth.users where id::text = $1 or lower(email) = lower($1)',
      [wanted.user],
    );
    const stranger = { id: wanted.user, email: wanted.user, created_at: new Date(wanted.at) };
    const user = wanted.is_unmatched ? stranger : users.rows[0];
    const teams = await client.query('select 1 from public.workspaces where id::text = $1', [wanted.workspace_id]);
    if (wanted.workspace_id && teams.rowCount === 0)
      throw new StackError(`There is no workspace ${wanted.workspace_id}.`);
    if (!user) throw new StackError(`There is no account ${wanted.user} in the local database; sign up first.`);
    const columns = CATALOGUE_COLUMNS.join(', ');
    const rows = await client.query(
      `select ${columns} from public.payment_products where platform::text = $1 order by is_active desc, amount, id`,
      [wanted.platform],
    );
    const product = chooseProduct(parseProducts(rows.rows), wanted);
    return {
      ...wanted,
      user: { id: user.id, email: user.email, created_at: user.created_at.toISOString() },
      product: storyProduct(product),
      trialDays: product.trial_days,
    };
  });
}

function chooseProduct(products: CatalogueProduct[], { platform, type, product: name }: Wanted): CatalogueProduct {
  const named = products.filter(({ id, product_id, price_id, plan }) =>
    name === undefined ? true : [id, product_id, price_id, plan].includes(name),
  );
  // A plan first, unless the event can only be of a purchase: most events are of subscriptions.
  const found = named.find(({ plan }) => plan !== null) ?? (isAboutSubscription(type) ? undefined : named[0]);
  if (found) return found;
  throw new StackError(
    `payment_products has no ${platform} product${name ? ` "${name}"` : ''} for ${type}; supabase/seed.sql is where they begin.`,
  );
}
