/** Simulators of what Basemeter's functions call, for development and tests: an AI provider, Creem and Stripe. */
import { fileURLToPath } from 'node:url';

export { createAiSimulator } from './ai/index.ts';
export { CATALOGUE_COLUMNS, type CatalogueProduct, parseProducts } from './payments/catalogue.ts';
export { CREEM_EVENT_TYPES, type CreemEventType, creemEvent } from './payments/creem-events.ts';
export { creemSignature, type Delivery, deliver, stripeSignature } from './payments/deliver.ts';
export { parseForm } from './payments/form.ts';
export { createPaymentSimulator } from './payments/index.ts';
export { SIMULATED_CREEM_KEY, SIMULATED_STRIPE_KEY } from './payments/keys.ts';
export { storyProduct } from './payments/shop.ts';
export {
  addDays,
  type InvoiceLine,
  idTail,
  type Period,
  type Platform,
  periodOf,
  type Story,
  type StorySubscription,
} from './payments/story.ts';
export { STRIPE_EVENT_TYPES, type StripeEvent, type StripeEventType, stripeEvent } from './payments/stripe-events.ts';
export {
  eventTypes,
  isAboutSubscription,
  paymentMadeBy,
  type Telling,
  tellEvent,
} from './payments/told-story.ts';

/** The program that serves the AI simulator on PORT. */
export const AI_SIMULATOR = fileURLToPath(new URL('./ai/process.ts', import.meta.url));

/**
 * The program that serves the payment simulator on PORT. API_URL and PUBLISHABLE_KEY tell it where the stack is,
 * CREEM_WEBHOOK_SECRET and STRIPE_WEBHOOK_SECRET what it signs events with.
 */
export const PAYMENT_SIMULATOR = fileURLToPath(new URL('./payments/process.ts', import.meta.url));
