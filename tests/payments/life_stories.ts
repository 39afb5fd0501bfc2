/** Life stories of a payer, from steps that fast-check draws: the events a platform would send of them, in their order. */

import {
  addDays,
  type CreemEventType,
  creemEvent,
  type InvoiceLine,
  type Period,
  type Platform,
  periodOf,
  type Story,
  type StorySubscription,
  type StripeEventType,
  stripeEvent,
} from '@basemeter/simulators';
import fc from 'fast-check';

/** What may become of unused credits; each has plans of its own. */
export const ROLLOVERS = ['none', 'all', 'capped'] as const;
type Rollover = (typeof ROLLOVERS)[number];

/** One thing that happens; `day` is when in the current period, `part` how much of an amount. */
export type Step =
  | { what: 'renew' | 'resume' | 'schedule_cancel' | 'cancel' | 'past_due' | 'pack'; day: number }
  | { what: 'change'; day: number; units: number; is_new_cycle: boolean; is_paid: boolean }
  | { what: 'refund'; day: number; part: number }
  | { what: 'refund_pack'; day: number; part: number }
  | { what: 'dispute'; day: number; outcome: 'open' | 'won' | 'lost' }
  | { what: 'refund_fails'; day: number }
  | { what: 'end_dispute'; day: number; outcome: 'won' | 'lost' | 'charge_refunded' };

/** A life: how it begins and what happens then. */
export interface Life {
  platform: Platform;
  rollover: Rollover;
  has_trial: boolean;
  has_metadata: boolean;
  /** Stripe: beside the plan there is a metered price, named first and billed in arrears. */
  has_meter: boolean;
  steps: Step[];
}

const day = fc.integer({ min: 1, max: 25 });
const part = fc.constantFrom(0.1, 0.25, 0.5, 1);
const simple = (what: Extract<Step, { day: number; what: 'renew' | 'resume' }>['what'] | Step['what']) =>
  fc.record({ what: fc.constant(what), day }) as fc.Arbitrary<Step>;

const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: simple('renew'), weight: 4 },
  ...(['resume', 'schedule_cancel', 'cancel', 'past_due', 'pack'] as const).map((what) => ({
    arbitrary: simple(what),
    weight: 1,
  })),
  {
    arbitrary: fc.record({
      what: fc.constant('change' as const),
      day,
      units: fc.integer({ min: 1, max: 4 }),
      is_new_cycle: fc.boolean(),
      is_paid: fc.boolean(),
    }),
    weight: 2,
  },
  { arbitrary: fc.record({ what: fc.constant('refund' as const), day, part }), weight: 2 },
  { arbitrary: fc.record({ what: fc.constant('refund_pack' as const), day, part }), weight: 1 },
  {
    arbitrary: fc.record({
      what: fc.constant('dispute' as const),
      day,
      outcome: fc.constantFrom('open' as const, 'won' as const, 'lost' as const),
    }),
    weight: 1,
  },
  { arbitrary: simple('refund_fails'), weight: 1 },
  {
    arbitrary: fc.record({
      what: fc.constant('end_dispute' as const),
      day,
      outcome: fc.constantFrom('won' as const, 'lost' as const, 'charge_refunded' as const),
    }),
    weight: 1,
  },
);

/** Lives of up to nine steps. */
export const life: fc.Arbitrary<Life> = fc.record({
  platform: fc.constantFrom<Platform>('creem', 'stripe'),
  rollover: fc.constantFrom<Rollover>(...ROLLOVERS),
  has_trial: fc.boolean(),
  has_metadata: fc.boolean(),
  has_meter: fc.boolean(),
  steps: fc.array(step, { maxLength: 9 }),
});

/** An event as its platform sends it, and when. */
export interface SentEvent {
  payload: object;
  occurred_at: string;
}

/** A product of a platform, in the words of a story. */
export type Product = Story['product'];

/** Who lives it: names for everything, so that the same life can be lived twice. */
export interface Payer {
  name: string;
  email: string;
  user_id: string;
  plan: Product;
  bigger_plan: Product;
  pack: Product;
}

const METER = { product_id: 'prod_meter', price_id: 'price_meter' };

const BIRTH = '2025-03-01T00:00:00.000Z';

/** Tells a life: its events in the order in which they happened. */
export function tell(life: Life, payer: Payer): SentEvent[] {
  const teller = new Teller(life, payer);
  teller.begin();
  for (const next of life.steps) teller.live(next);
  return teller.events;
}

/** A payment for a period, and what of it was given back. */
type Paid = { id: string; amount: number; paid_at: string; period: Period; refunded: number; lines?: InvoiceLine[] };

class Teller {
  readonly events: SentEvent[] = [];
  readonly #life: Life;
  readonly #payer: Payer;
  #count = 0;
  #period: Period = periodOf(BIRTH, 'month');
  #now = BIRTH;
  #units = 1;
  #product: Product;
  #isOver = false;
  #isEnding = false;
  #paid: Paid | undefined;
  /** Refunds that have not failed, and disputes that have not ended. */
  #refunds: { id: string; amount: number; of: Paid }[] = [];
  #disputes: { id: string; amount: number; of: Paid }[] = [];
  #pack: { id: string; amount: number; paid_at: string; refunded: number } | undefined;

  constructor(life: Life, payer: Payer) {
    this.#life = life;
    this.#payer = payer;
    this.#product = payer.plan;
  }

  begin(): void {
    if (this.#life.has_trial) {
      this.#period = { start: BIRTH, end: addDays(BIRTH, 7) };
      const trial = { status: 'trialing', trial_end: this.#period.end };
      this.#send('checkout.completed', 'checkout.session.completed');
      this.#send('subscription.active', undefined);
      this.#send('subscription.trialing', 'customer.subscription.created', trial);
      this.#renew();
      return;
    }
    this.#pay();
    this.#send('checkout.completed', 'checkout.session.completed');
    this.#send('subscription.active', 'customer.subscription.created');
    this.#tellOfPayment();
  }

  live(next: Step): void {
    if (next.what === 'pack') this.#buyPack(next.day);
    else if (next.what === 'refund_pack') this.#refundPack(next.day, next.part);
    else if (next.what === 'refund') this.#refund(next.day, next.part);
    else if (next.what === 'dispute') this.#dispute(next.day, next.outcome);
    else if (next.what === 'refund_fails') this.#failRefund(next.day);
    else if (next.what === 'end_dispute') this.#endDispute(next.day, next.outcome);
    else if (!this.#isOver) this.#liveOn(next);
  }

  #liveOn(next: Step): void {
    this.#later(next.day);
    if (next.what === 'renew') this.#renew();
    else if (next.what === 'change') this.#change(next.units, next.is_new_cycle, next.is_paid);
    else if (next.what === 'cancel') this.#cancel();
    else if (next.what === 'past_due') this.#pastDue();
    else this.#plan(next.what === 'schedule_cancel');
  }

  /** Moves to a day of the current period, never back. */
  #later(day: number): void {
    const wanted = addDays(this.#period.start, day);
    const next = new Date(Math.max(Date.parse(wanted), Date.parse(this.#now) + 1000)).toISOString();
    this.#now = next < this.#period.end ? next : new Date(Date.parse(this.#now) + 1000).toISOString();
  }

  #id(prefix: string): string {
    this.#count += 1;
    return `${prefix}_${this.#payer.name}${this.#count}`;
  }

  #pay(before?: Period): void {
    const amount = this.#product.amount * this.#units;
    const id = this.#id(this.#life.platform === 'creem' ? 'tran' : 'in');
    const used = before && { amount: 300, period: before, ...METER, quantity: 60 };
    const lines = this.#hasMeter() ? [...(used ? [used] : []), { amount, period: this.#period }] : undefined;
    this.#paid = { id, amount, paid_at: this.#now, period: this.#period, refunded: 0, lines };
  }

  #tellOfPayment(): void {
    this.#send('subscription.paid', 'invoice.paid');
    if (this.#life.platform === 'stripe') this.#send(undefined, 'invoice_payment.paid');
  }

  #renew(): void {
    if (this.#isEnding) {
      this.#cancel();
      return;
    }
    const before = this.#period;
    const start = before.end;
    this.#period = { start, end: periodOf(start, 'month').end };
    this.#now = start;
    this.#pay(before);
    this.#tellOfPayment();
    if (this.#life.platform === 'stripe') this.#send(undefined, 'customer.subscription.updated');
  }

  #change(units: number, isNewCycle: boolean, isPaid: boolean): void {
    const before = this.#product.amount * this.#units;
    this.#product = this.#product === this.#payer.plan ? this.#payer.bigger_plan : this.#payer.plan;
    this.#units = units;
    if (isNewCycle) {
      const cut = this.#period;
      this.#period = { start: this.#now, end: periodOf(this.#now, 'month').end };
      this.#pay(cut);
    }
    this.#send('subscription.update', 'customer.subscription.updated');
    if (isNewCycle) this.#tellOfPayment();
    else if (isPaid && this.#life.platform === 'stripe') this.#payForChange(before);
  }

  /** An invoice of prorations: what was not used of the old, what remains of the new. */
  #payForChange(before: number): void {
    const period = { start: this.#now, end: this.#period.end };
    const amount = this.#product.amount * this.#units;
    const lines = [
      { amount: -before, period, is_proration: true, quantity: 1 },
      { amount, period, is_proration: true, quantity: this.#units },
    ];
    const payment = { id: this.#id('in'), amount: Math.max(amount - before, 0), paid_at: this.#now, lines };
    this.#send(undefined, 'invoice.paid', {}, { payment });
  }

  #plan(isEnding: boolean): void {
    this.#isEnding = isEnding;
    const type = isEnding ? 'subscription.scheduled_cancel' : 'subscription.update';
    this.#send(type, 'customer.subscription.updated');
  }

  #pastDue(): void {
    this.#send('subscription.past_due', 'customer.subscription.updated', { status: 'past_due' });
  }

  #cancel(): void {
    this.#isOver = true;
    this.#send('subscription.canceled', 'customer.subscription.deleted');
  }

  #refund(day: number, part: number): void {
    const paid = this.#paid;
    if (!paid || paid.refunded >= paid.amount) return;
    this.#later(day);
    const amount = Math.min(Math.round(paid.amount * part), paid.amount - paid.refunded);
    paid.refunded += amount;
    const refund = { id: this.#id('ref'), amount: this.#life.platform === 'creem' ? amount : paid.refunded };
    this.#refunds.push({ id: refund.id, amount, of: paid });
    this.#send('refund.created', 'charge.refunded', {}, { refund });
  }

  #dispute(day: number, outcome: 'open' | 'won' | 'lost'): void {
    const paid = this.#paid;
    if (!paid || paid.refunded > 0) return;
    this.#later(day);
    paid.refunded = paid.amount;
    const dispute = { id: this.#id('disp'), amount: paid.amount };
    this.#send('dispute.created', 'charge.dispute.created', {}, { dispute });
    if (this.#life.platform === 'creem') return;
    if (outcome === 'open') {
      this.#disputes.push({ ...dispute, of: paid });
      return;
    }
    this.#later(day + 1);
    this.#send(undefined, 'charge.dispute.closed', {}, { dispute: { ...dispute, status: outcome } });
    if (outcome === 'won') paid.refunded = 0;
  }

  /** The oldest refund fails, perhaps long after its period; of its payment some or all is not given back after all. */
  #failRefund(day: number): void {
    const failed = this.#life.platform === 'stripe' ? this.#refunds.shift() : undefined;
    if (!failed) return;
    this.#later(day);
    const { id, amount, of: payment } = failed;
    payment.refunded -= amount;
    for (const type of ['refund.failed', 'refund.updated', 'charge.refund.updated'] as const) {
      this.#send(undefined, type, {}, { payment, refund: { id, amount } });
    }
  }

  /** The oldest dispute that is open ends, perhaps long after its period. */
  #endDispute(day: number, status: 'won' | 'lost' | 'charge_refunded'): void {
    const open = this.#disputes.shift();
    if (!open) return;
    this.#later(day);
    const { id, amount, of: payment } = open;
    this.#send(undefined, 'charge.dispute.closed', {}, { payment, dispute: { id, amount, status } });
    if (status !== 'lost') payment.refunded = 0;
  }

  #hasMeter(): boolean {
    return this.#life.has_meter && this.#life.platform === 'stripe';
  }

  #buyPack(day: number): void {
    this.#later(day);
    const id = this.#id(this.#life.platform === 'creem' ? 'tran' : 'pi');
    this.#pack = { id, amount: this.#payer.pack.amount, paid_at: this.#now, refunded: 0 };
    this.#sendOfPack('checkout.completed', 'checkout.session.completed');
  }

  #refundPack(day: number, part: number): void {
    const pack = this.#pack;
    if (!pack || pack.refunded >= pack.amount) return;
    this.#later(day);
    const amount = Math.min(Math.round(pack.amount * part), pack.amount - pack.refunded);
    pack.refunded += amount;
    const refund = { id: this.#id('ref'), amount: this.#life.platform === 'creem' ? amount : pack.refunded };
    this.#sendOfPack('refund.created', 'charge.refunded', { refund });
  }

  #metadata(product: Product): Record<string, string> {
    return { user_id: this.#payer.user_id, price_id: product.price_id ?? '', product_id: product.id };
  }

  #sendOfPack(creem: CreemEventType, stripe: StripeEventType, more: Partial<Story> = {}): void {
    this.#emit(creem, stripe, {
      customer: this.#customer(),
      product: this.#payer.pack,
      metadata: this.#metadata(this.#payer.pack),
      checkout: { id: this.#id('ch') },
      payment: this.#pack,
      ...more,
    });
  }

  #send(
    creem: CreemEventType | undefined,
    stripe: StripeEventType | undefined,
    subscription: Partial<StorySubscription> = {},
    more: Partial<Story> = {},
  ): void {
    const ofPayment = 'refund' in more || 'dispute' in more;
    this.#emit(creem, stripe, {
      customer: this.#customer(),
      product: this.#product,
      units: this.#units,
      // Samples lack it now and then; the customer is known by the address then.
      metadata: this.#life.has_metadata ? this.#metadata(this.#product) : undefined,
      checkout: { id: `ch_${this.#payer.name}` },
      subscription: {
        id: `sub_${this.#payer.name}`,
        started_at: BIRTH,
        period: ofPayment && this.#paid ? this.#paid.period : this.#period,
        cancel_at_period_end: this.#isEnding,
        other_items: this.#hasMeter() ? [METER] : undefined,
        ...subscription,
      },
      payment: this.#paid,
      ...more,
    });
  }

  #customer() {
    return { id: `cus_${this.#payer.name}`, email: this.#payer.email, name: 'A Payer' };
  }

  #emit(creem: CreemEventType | undefined, stripe: StripeEventType | undefined, story: Story): void {
    // Platforms' clocks: events of one moment a second apart, or within the same second.
    const facts = { id: this.#id('evt'), occurred_at: this.#now };
    const payload =
      this.#life.platform === 'creem'
        ? creem && creemEvent(creem, facts, story)
        : stripe && stripeEvent(stripe, facts, story);
    if (!payload) return;
    this.events.push({ payload, occurred_at: this.#now });
    this.#now = new Date(Date.parse(this.#now) + 1000).toISOString();
  }
}
