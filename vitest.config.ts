import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/support/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two processes, each for many files: loading the clients anew for each file took a tenth of the time.
    maxWorkers: 2,
    isolate: false,
  },
});
