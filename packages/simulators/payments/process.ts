/** Serves the payment simulator on PORT of this machine until its stdin closes, which its supervisor holds open. */
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '@hono/node-server';
import { restCatalogue } from './catalogue.ts';
import { deliver, type Webhooks } from './deliver.ts';
import { createPaymentSimulator } from './index.ts';
import type { Platform } from './story.ts';

/** Waits before an event that was not taken is sent again, ms. */
const WAITS = [200, 1_000, 3_000];

const { PORT, API_URL = '', PUBLISHABLE_KEY = '', CREEM_WEBHOOK_SECRET = '', STRIPE_WEBHOOK_SECRET = '' } = process.env;
const webhooks: Webhooks = {
  functionsUrl: `${API_URL}/functions/v1`,
  secrets: { creem: CREEM_WEBHOOK_SECRET, stripe: STRIPE_WEBHOOK_SECRET },
};

const simulator = createPaymentSimulator({
  findProduct: restCatalogue(`${API_URL}/rest/v1`, PUBLISHABLE_KEY),
  deliver: deliverUntilTaken,
});
serve({ fetch: simulator.fetch, hostname: '127.0.0.1', port: Number(PORT) });
process.stdin.resume().once('close', () => process.exit(0));

/** Sends an event again a few times, as the platforms do over hours. Throws with the last answer. */
async function deliverUntilTaken(platform: Platform, event: object): Promise<void> {
  for (const wait of [...WAITS, undefined]) {
    const outcome = await deliver(platform, event, webhooks).catch((error: unknown) => String(error));
    if (typeof outcome !== 'string' && outcome.status === 200) return;
    if (wait === undefined) throw new Error(`not taken: ${JSON.stringify(outcome)} of ${JSON.stringify(event)}`);
    await sleep(wait);
  }
}
