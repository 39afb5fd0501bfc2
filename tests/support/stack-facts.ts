/** What a test file knows about the running stack; plain data, so that it passes between processes. */
import type { Stack, StatusEnv } from '../../scripts/stack.ts';

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
  const { programs, ...urls } = stack.urls;
  const simulators = { simulator: programs.simulator, paymentSimulator: programs['payment-simulator'] };
  return { env: stack.env, urls: { ...urls, ...simulators } };
}
