/**
 * Creem's moderation of prompts, decided by a word in the prompt: `[[moderate:deny]]`, `[[moderate:flag]]`,
 * `[[moderate:error]]` (a 500), `[[moderate:slow]]` (no answer for a minute); everything else is allowed, and any other
 * word is the decision itself, as a new one of the platform's would be.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** What came of it. */
export type Moderation = { decision: string };

const LONG = 60_000;

/** The decision on a prompt; undefined where moderation is to fail. */
export async function moderate(prompt: string, signal: AbortSignal): Promise<Moderation | undefined> {
  const word = /\[\[moderate:(\w+)\]\]/.exec(prompt)?.[1];
  if (word === 'error') return undefined;
  if (word !== 'slow') return { decision: word ?? 'allow' };
  await sleep(LONG, undefined, { signal, ref: false }).catch(() => undefined);
  return { decision: 'allow' };
}
