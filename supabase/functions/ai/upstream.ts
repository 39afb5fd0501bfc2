/** The provider's side of a call. */
import type { AiProvider } from '../_shared/env.ts';
import { ApiError, invalidRequest } from '../_shared/errors.ts';

/** A call ends before the platform ends the function (150 s), with time left to settle, ms. */
const CALL_TIMEOUT = 140_000;
/** Statuses by which a provider blames the request. */
const CALLERS_FAULT = new Set([400, 413, 422]);

/**
 * Posts JSON to the provider and returns its answer once that is a 2xx.
 * Throws 400 `invalid_request` with the provider's words where it blames the request, 504 `upstream_timeout`, and
 * 502 `upstream_error` for everything else; its own status and words are in `cause`, for the log.
 */
export async function callUpstream(provider: AiProvider, path: string, body: unknown): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`${provider.baseUrl}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${provider.apiKey}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(CALL_TIMEOUT),
    });
  } catch (error) {
    throw upstreamFailure(error);
  }
  if (response.ok) return response;
  const text = await response.text().catch(() => '');
  if (CALLERS_FAULT.has(response.status)) throw invalidRequest(providerMessage(text, provider.apiKey));
  throw upstreamError(`status ${response.status}: ${text.slice(0, 1000)}`);
}

/** The error for an answer that is not what the protocol promises; `cause` is for the log alone. */
export function upstreamError(cause: string): ApiError {
  const error = new ApiError(502, 'upstream_error', 'The AI provider failed. Nothing was charged.');
  error.cause = cause;
  return error;
}

/** The error for a request or stream that broke: a timeout of ours, or the connection's end. */
export function upstreamFailure(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof DOMException && thrown.name === 'TimeoutError') {
    return new ApiError(504, 'upstream_timeout', 'The AI provider took too long. Nothing was charged.');
  }
  return upstreamError(String(thrown));
}

function providerMessage(text: string, apiKey: string): string {
  try {
    const message = JSON.parse(text)?.error?.message;
    if (typeof message === 'string') return message.replaceAll(apiKey, '[key]').slice(0, 1000);
  } catch {
    // No JSON: its words are not meant for callers.
  }
  return 'The AI provider refused the request as invalid.';
}
