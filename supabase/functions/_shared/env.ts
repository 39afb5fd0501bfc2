/** Settings of the functions, read from their environment; a missing one is named. */

type Env = { get(name: string): string | undefined };

/** Where AI calls go unless a provider's row says otherwise, and with which key. */
export interface AiDefaults {
  /** OpenAI-compatible base URL without a trailing slash. */
  baseUrl: string;
}

/** Reads the AI defaults: `AI_BASE_URL`, and whether `AI_API_KEY` is there. Throws an Error that names what is invalid. */
export function readAiDefaults(env: Env): AiDefaults {
  const baseUrl = readAiBaseUrl(env);
  readApiKey(env, 'AI_API_KEY');
  return { baseUrl };
}

/** Reads `AI_BASE_URL`, without a trailing slash. Throws an Error where it is not set or no URL. */
export function readAiBaseUrl(env: Env): string {
  const baseUrl = env.get('AI_BASE_URL')?.trim().replace(/\/+$/, '');
  if (!baseUrl) throw new Error('AI_BASE_URL is not set: functions need the base URL of their AI provider');
  if (!/^https?:/i.test(baseUrl) || !URL.canParse(baseUrl)) throw new Error('AI_BASE_URL is no http(s) URL');
  return baseUrl;
}

/** Reads a provider's key. Throws an Error that names the variable where it is not set. */
export function readApiKey(env: Env, name: string): string {
  const key = env.get(name)?.trim();
  if (!key) throw new Error(`${name} is not set: functions need the key of their AI provider`);
  return key;
}
