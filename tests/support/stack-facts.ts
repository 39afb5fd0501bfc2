/** What a test file knows about the running stack; plain data, so that it passes between processes. */
import type { StatusEnv } from '../../scripts/stack/environment.ts';
import type { Stack } from '../../scripts/stack/index.ts';

/** The stack's variables and addresses. */
export type StackFacts = {
  env: StatusEnv;
  urls: {
    api: string;
    functionsDirect: string;
    postgrest: string;
    simulator: string | undefined;
    paymentSimulator: string | undefined;
    database: string;
    databaseAdmin: string;
  };
};

/** Takes the plain data out of a running stack. */
export function readStackFacts(stack: Stack): StackFacts {
  return { env: stack.env, urls: { ...stack.urls } };
}
