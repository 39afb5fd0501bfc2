/** Function `creem-webhook`: where Creem delivers its events. */
import { readCreemEvent } from '../_shared/payments/creem.ts';
import { answerWebhook, type Webhook } from '../_shared/payments/webhook.ts';
import { isSignedByCreem } from './signature.ts';

const webhook: Webhook = {
  secretName: 'CREEM_WEBHOOK_SECRET',
  isSigned: (request, { bytes }, secrets) => isSignedByCreem(request.headers.get('creem-signature'), bytes, secrets),
  readEvent: readCreemEvent,
};

export default { fetch: (request: Request) => answerWebhook(request, webhook) };
