/** Gives every test file a running stack: the one `npm test` has started, or one of its own under `npx vitest`. */
import type { TestProject } from 'vitest/node';
import { startTestStack } from '../../scripts/testing/test-stack.ts';
import { readStackFacts, type StackFacts } from './stack-facts.ts';

declare module 'vitest' {
  interface ProvidedContext {
    stack: StackFacts;
  }
}

export default async function setUp(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env.BASEMETER_TEST_STACK;
  if (given) {
    project.provide('stack', JSON.parse(given));
    return undefined;
  }
  const stack = await startTestStack({ onProgress: (line) => console.log(line) });
  project.provide('stack', readStackFacts(stack));
  return () => stack.stop();
}
