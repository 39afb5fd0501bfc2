/** What the webhooks of both platforms do alike: read the body, check its signature, hand the event to the database. */
import { z } from 'zod';
import { type Body, readBody } from '../body.ts';
import { database, run } from '../database.ts';
import type { Json } from '../database.types.ts';
import { ApiError, errorResponse, invalidRequest } from '../errors.ts';
import { parseJson } from '../json.ts';
import { serve } from '../origin.ts';
import type { PaymentEvent } from './event.ts';

/** Bodies above this are refused, MiB. Events are some KiB. */
const LARGEST_BODY = 1;

/** What is a platform's own in its webhook. */
export interface Webhook {
  /** The variable with the signing secret. The one before it, while secrets are changed, is in `<name>_PREVIOUS`. */
  secretName: string;
  /** Whether one of the secrets has signed the body. Throws an ApiError for a signed body that cannot be used. */
  isSigned(request: Request, body: Body, secrets: string[]): Promise<boolean>;
  /** Reads the payload. Throws 400 `invalid_request` for what is no event. */
  readEvent(payload: unknown): PaymentEvent | Promise<PaymentEvent>;
}

const NONE = null as unknown as string;

const receipt = z.object({ state: z.enum(['applied', 'failed', 'ignored']) });

/**
 * Answers a delivery: 200 `{ received, state }` once the event is stored, whatever became of it, for a platform delivers
 * again after any other status. Errors have the shape of `errorResponse`.
 */
export async function answerWebhook(request: Request, webhook: Webhook): Promise<Response> {
  const requestId = `req_${crypto.randomUUID().replaceAll('-', '')}`;
  const received = serve(request, requestId, () => receive(request, webhook));
  const response = await received.catch((thrown) => errorResponse(thrown, requestId));
  response.headers.set('x-request-id', requestId);
  return response;
}

async function receive(request: Request, webhook: Webhook): Promise<Response> {
  if (request.method !== 'POST') throw notPost();
  const secrets = readSecrets(webhook.secretName);
  const body = await readBody(request, LARGEST_BODY);
  if (!(await webhook.isSigned(request, body, secrets))) {
    throw new ApiError(401, 'invalid_signature', 'The body is not signed with the secret of this webhook.');
  }
  const payload = parseJson(body.text);
  if (!isObject(payload)) throw invalidRequest('The body must be a JSON object.');
  const { state } = await store(await webhook.readEvent(payload), body.text);
  return Response.json({ received: true, state });
}

async function store(
  { occurred_at, mode, account, ...event }: PaymentEvent,
  rawBody: string,
): Promise<z.infer<typeof receipt>> {
  // The generated types do not know what may be null.
  const { facts, problem } = event as { facts: unknown; problem: unknown } as { facts: Json; problem: string };
  const told = { occurred_at: occurred_at ?? NONE, mode: mode ?? NONE, account: account ?? NONE };
  const args = { ...event, ...told, facts, problem, raw_body: rawBody };
  return receipt.parse(await run(() => database.rpc('receive_payment_event', args)));
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
