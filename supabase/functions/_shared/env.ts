/** Settings of the functions, read once; a missing one fails the boot with its name. */

const DEFAULT_AI_BASE_URL = 'https://api.302.ai/v1';

/** Where AI calls go, and with which key. */
export interface AiProvider {
  /** OpenAI-compatible base URL without a trailing slash. */
  baseUrl: string;
  apiKey: string;
}

/** Reads the AI provider from `AI_BASE_URL` (302.AI by default) and `AI_API_KEY`. Throws an Error that names what is off. */
export function readAiProvider(env: { get(name: string): string | undefined }): AiProvider {
  const baseUrl = (env.get('AI_BASE_URL') || DEFAULT_AI_BASE_URL).replace(/\/+$/, '');
  if (!URL.canParse(baseUrl)) throw new Error(`AI_BASE_URL is no URL: ${baseUrl}`);
  const apiKey = env.get('AI_API_KEY')?.trim();
  if (!apiKey) throw new Error('AI_API_KEY is not set: functions need the key of their AI provider');
  return { baseUrl, apiKey };
}
