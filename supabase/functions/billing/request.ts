/** What callers may send, parsed once at the door. Members we do not know are refused: a misspelled one changes the bill. */
import { z } from 'zod';
import { readBody } from '../_shared/body.ts';
import { invalidRequest } from '../_shared/errors.ts';
import { parseJson } from '../_shared/json.ts';
import { PLATFORMS } from './gateway.ts';

/** Bodies above this are refused, MiB. */
const LARGEST_BODY = 1;

const url = z.string().max(2000);
const workspace_id = z.guid().nullish().transform(absentIfNull);
const payment_product_id = z.guid();

/** `POST /billing/checkout`. */
export const checkoutRequest = z.strictObject({
  payment_product_id,
  units: z.int().min(1).max(1_000).nullish().transform(absentIfNull),
  workspace_id,
  success_url: url,
  cancel_url: url.nullish().transform(absentIfNull),
});

/** `POST /billing/portal`. */
export const portalRequest = z.strictObject({
  workspace_id,
  platform: z.enum(PLATFORMS).nullish().transform(absentIfNull),
  return_url: url.nullish().transform(absentIfNull),
});

/** `POST /billing/cancel`. */
export const cancelRequest = z.strictObject({ workspace_id, at: z.enum(['period_end', 'now']).default('period_end') });

/** `POST /billing/resume`. */
export const resumeRequest = z.strictObject({ workspace_id });

/** `POST /billing/change-plan`. */
export const changePlanRequest = z.strictObject({ payment_product_id, workspace_id });

/** Reads and validates a body; none at all counts as `{}`. Throws 400 `invalid_request` that names the member. */
export async function readRequest<T>(http: Request, schema: z.ZodType<T>): Promise<T> {
  const { text } = await readBody(http, LARGEST_BODY);
  const parsed = schema.safeParse(parseJson(text.trim() || '{}'));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const param = issue?.path.join('.') || (issue?.code === 'unrecognized_keys' && issue.keys[0]) || null;
  throw invalidRequest(`${param ?? 'The body'} is not valid: ${issue?.message ?? 'it does not fit'}.`, param);
}

/** The workspace that header or body name. Throws 400 `invalid_request` where they name two. */
export function oneWorkspace(inHeader: string | undefined, inBody: string | undefined): string | undefined {
  if (inHeader && inBody && inHeader.toLowerCase() !== inBody.toLowerCase()) {
    throw invalidRequest('x-workspace-id and workspace_id name two workspaces.', 'workspace_id');
  }
  return inHeader ?? inBody;
}

/**
 * Reads an address that a page will send the buyer to: http(s), and its origin among `allowed`, so that nobody makes
 * us send people elsewhere. Gives it as it was parsed, for others may read the text another way. Throws 400
 * `invalid_request` naming `param`.
 */
export function requireReturnUrl(address: string, param: string, allowed: string[]): string {
  const target = URL.canParse(address) ? new URL(address) : undefined;
  if (!target || !/^https?:$/.test(target.protocol)) {
    throw invalidRequest(`${param} must be an http or https URL.`, param);
  }
  const origins = allowed.filter((text) => URL.canParse(text)).map((text) => new URL(text).origin);
  if (!origins.includes(target.origin)) {
    throw invalidRequest(`${param} must be on one of: ${origins.join(', ') || 'no origin is allowed'}.`, param);
  }
  // Stripe's own placeholder stays one, in a path too.
  return target.href.replaceAll('%7BCHECKOUT_SESSION_ID%7D', '{CHECKOUT_SESSION_ID}');
}

function absentIfNull<T>(value: T | null | undefined): T | undefined {
  return value ?? undefined;
}
