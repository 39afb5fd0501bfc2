/** What the webhooks of both platforms do alike: read the body, check its signature, hand the event to the database. */
import { z } from 'zod';
import { database, run } from '../database.ts';
import { ApiError, errorResponse, invalidRequest } from '../errors.ts';
import { parseJson } from '../json.ts';
import { readBody, type WebhookBody } from './body.ts';
import type { PaymentEvent } from './event.ts';

/** What is a platform's own in its webhook. */
export interface Webhook {
  /** The variable with the signing secret. The one before it, while secrets are changed, is in `<name>_PREVIOUS`. */
  secretName: string;
  /** Whether one of the secrets has signed the body. Throws an ApiError for a signed body that cannot be used. */
  isSigned(request: Request, body: WebhookBody, secrets: string[]): Promise<boolean>;
  /** Reads the payload. Throws 400 `invalid_request` for what is no event. */
  readEvent(payload: unknown): PaymentEvent;
}

const receipt = z.object({ state: z.enum(['applied', 'failed', 'ignored']) });

/**
 * Answers a delivery: 200 `{ received, state }` once the event is stored, whatever became of it, for a platform delivers
 * again after any other status. Errors have the shape of `errorResponse`.
 */
export async function answerWebhook(request: Request, webhook: Webhook): Promise<Response> {
  const requestId = `req_${crypto.randomUUID().replaceAll('-', '')}`;
  const response = await receive(request, webhook).catch((thrown) => errorResponse(thrown, requestId));
  response.headers.set('x-request-id', requestId);
  return response;
}

async function receive(request: Request, webhook: Webhook): Promise<Response> {
  if (request.method !== 'POST') throw notPost();
  const secrets = readSecrets(webhook.secretName);
  const body = await readBody(request);
  if (!(await webhook.isSigned(request, body, secrets))) {
    throw new ApiError(401, 'invalid_signature', 'The body is not signed with the secret of this webhook.');
  }
  const payload = parseJson(body.text);
  if (!isObject(payload)) throw invalidRequest('The body must be a JSON object.');
  const { state } = await store(webhook.readEvent(payload), body.text);
  return Response.json({ received: true, state });
}

async function store({ occurred_at, ...event }: PaymentEvent, rawBody: string): Promise<z.infer<typeof receipt>> {
  const args = { ...event, occurred_at: occurred_at ?? new Date().toISOString(), raw_body: rawBody };
  return receipt.parse(await run(() => receivePaymentEvent(args)));
}

type Arguments = PaymentEvent & { occurred_at: string; raw_body: string };

// CAST: `receive_payment_event` is not in the generated types yet.
const rpc = database.rpc.bind(database) as unknown as (
  name: 'receive_payment_event',
  args: Arguments,
) => PromiseLike<{ data: unknown; error: null }>;

function receivePaymentEvent(args: Arguments) {
  return rpc('receive_payment_event', args);
}

/** The secrets that a body may be signed with. Throws 503 `unavailable` where none is set, and logs which is missing. */
function readSecrets(name: string): string[] {
  // Secrets are pasted; white space round one would fail every signature.
  const [current, previous] = [name, `${name}_PREVIOUS`].map((each) => Deno.env.get(each)?.trim());
  if (current) return previous ? [current, previous] : [current];
  console.error(`${name} is not set: no webhook can be checked without the secret that signs it`);
  throw new ApiError(503, 'unavailable', 'This webhook is not set up.');
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function notPost(): ApiError {
  return new ApiError(405, 'invalid_request', 'A webhook takes POST alone.', null, { allow: 'POST' });
}
