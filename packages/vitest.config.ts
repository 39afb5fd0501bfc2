import { defineConfig } from 'vitest/config';

// The tests of the packages themselves: `npm test -- packages`.
export default defineConfig({
  test: {
    projects: ['*/vitest.config.ts'],
    // Each file is a process of its own; more of them than cores only makes timings worse.
    maxWorkers: 2,
  },
});
