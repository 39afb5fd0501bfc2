/** What the parts of Stripe's simulated API share: form bodies read strictly, and errors as Stripe words them. */
import type { Context } from 'hono';
import { z } from 'zod';
import { parseForm } from './form.ts';

/** An answer other than 200. */
export class StripeError extends Error {
  constructor(
    readonly status: 400 | 401 | 402 | 404,
    message: string,
    readonly code?: string,
    readonly param?: string,
  ) {
    super(message);
  }
}

/** Metadata of any object. */
export const metadata = z.record(z.string(), z.string()).optional();

/** 404: no object has this id. */
export function missing(what: string, id: string): StripeError {
  return new StripeError(404, `No such ${what}: '${id}'`, 'resource_missing', 'id');
}

/** Reads a form body. Throws a StripeError where it is not what `schema` takes. */
export async function readForm<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(parseForm(await c.req.text()));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const code = issue?.code === 'unrecognized_keys' ? 'parameter_unknown' : 'parameter_invalid';
  throw new StripeError(400, issue?.message ?? 'The parameters are not valid.', code, issue?.path.join('.'));
}

/** Answers with an error; what is no StripeError is logged. */
export function errorAnswer(c: Context, thrown: Error): Response {
  if (!(thrown instanceof StripeError)) console.error('payment simulator:', thrown);
  const { status, message, code, param } =
    thrown instanceof StripeError ? thrown : { status: 500 as const, message: 'The simulator failed, see its log.' };
  const type = status === 500 ? 'api_error' : status === 402 ? 'card_error' : 'invalid_request_error';
  return c.json({ error: { type, message, code, param } }, status);
}
