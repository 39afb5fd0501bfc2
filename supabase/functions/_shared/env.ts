/** Settings of the functions, read from their environment; a missing one is named. */

const DEFAULT_AI_BASE_URL = 'https://api.302.ai/v1';

type Env = { get(name: string): string | undefined };

/** Where AI calls go unless a provider's row says otherwise, and with which key. */
export interface AiDefaults {
  /** OpenAI-compatible base URL without a trailing slash. */
  baseUrl: string;
}

/**
 * Reads the AI defaults: `AI_BASE_URL` (302.AI without it), and whether `AI_API_KEY` is there.
 * Throws an Error that names what is off.
 */
export function readAiDefaults(env: Env): AiDefaults {
  const baseUrl = (env.get('AI_BASE_URL') || DEFAULT_AI_BASE_URL).replace(/\/+$/, '');
  if (!URL.canParse(baseUrl)) throw new Error(`AI_BASE_URL is no URL: ${baseUrl}`);
  readApiKey(env, 'AI_API_KEY');
  return { baseUrl };
}

/** Reads a provider's key. Throws an Error that names the variable where it is not set. */
export function readApiKey(env: Env, name: string): string {
  const key = env.get(name)?.trim();
  if (!key) throw new Error(`${name} is not set: functions need the key of their AI provider`);
  return key;
}
