/** Whether a prompt may become an image or a video, as the moderation that is set up says. */
import { z } from 'zod';
import { bounded } from './body.ts';
import { ApiError } from './errors.ts';
import { inTime } from './in-time.ts';
import { type Env, readCreemAccess } from './platform-keys.ts';

/** What is set up, as the rpcs that admit a call give it. */
export interface Moderation {
  provider: 'none' | 'creem';
  /** What becomes of a prompt that is neither allowed nor denied. */
  flagged: 'block' | 'allow';
  /** What becomes of a prompt that could not be checked. */
  failed: 'block' | 'allow';
}

/** 400 `content_policy_violation`: the prompt was denied. */
export class PromptDeniedError extends ApiError {
  constructor() {
    super(400, 'content_policy_violation', 'The prompt is against the content policy. Nothing was charged.', 'prompt');
  }
}

/** How long the check may take, ms. */
const TIMEOUT = 10_000;

const result = z.object({ decision: z.enum(['allow', 'flag', 'deny']) });

/**
 * Has a prompt checked; `reference` is how the check is found again at the provider. Throws PromptDeniedError for one that
 * may not be used, and 502 `upstream_error` for one that could not be checked, where the settings block it then.
 */
export async function moderate(
  moderation: Moderation | undefined,
  prompt: string,
  reference: string,
  env: Env,
): Promise<void> {
  if (!moderation || moderation.provider === 'none') return;
  const decision = await decisionOf(prompt, reference, env).catch((error: unknown) => {
    console.error(`request ${reference}: its prompt could not be checked:`, error);
    return 'failed' as const;
  });
  if (decision === 'deny') throw new PromptDeniedError();
  if (decision === 'flag' && moderation.flagged === 'block') throw new PromptDeniedError();
  if (decision === 'failed' && moderation.failed === 'block') {
    throw new ApiError(502, 'upstream_error', 'The prompt could not be checked. Nothing was charged.');
  }
}

/** Asks Creem. Source: docs.creem.io, "Moderation". */
async function decisionOf(prompt: string, reference: string, env: Env): Promise<'allow' | 'flag' | 'deny'> {
  const { apiKey, baseUrl } = readCreemAccess(env);
  return inTime(TIMEOUT, async (signal) => {
    const response = await fetch(`${baseUrl}/v1/moderation/prompt`, {
      method: 'POST',
      headers: { 'x-api-key': apiKey, 'content-type': 'application/json' },
      body: JSON.stringify({ prompt, external_id: reference }),
      redirect: 'manual',
      signal,
    });
    const text = await bounded(response).text();
    if (!response.ok) throw new Error(`status ${response.status}: ${text.replaceAll(apiKey, '[key]').slice(0, 300)}`);
    return result.parse(JSON.parse(text)).decision;
  });
}
