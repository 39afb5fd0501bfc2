/** Which adapter speaks with which provider. */
import type { Env } from '../platform-keys.ts';
import type { VideoAdapter } from './adapter.ts';
import { createOpenAi } from './openai.ts';
import { baseUrlOf, type Provider, ProviderClient } from './provider.ts';
import { createUnified } from './unified.ts';

/** The adapter to a provider. */
export function adapterTo(provider: Provider, env: Env): VideoAdapter {
  const client = new ProviderClient(provider, env);
  return provider.api === 'openai' ? createOpenAi(client, baseUrlOf(provider, env)) : createUnified(client);
}
