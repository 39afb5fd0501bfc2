import { configDefaults, defineConfig } from 'vitest/config';

// Left out unless it is wanted: see `npm test` in scripts/commands/test.ts.
const long = process.env.BASEMETER_LONG_TESTS === 'no' ? ['tests/**/*.long.test.ts'] : [];
const alone = 'tests/**/*.alone.test.ts';

export default defineConfig({
  test: {
    globalSetup: ['tests/support/global-setup.ts'],
    setupFiles: ['tests/support/clean-up.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // More of them than cores only makes timings worse.
    maxWorkers: 2,
    projects: [
      // Files share a process: to load the clients anew for each takes a fifth of the time.
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['tests/**/*.test.ts'],
          exclude: [...configDefaults.exclude, alone, ...long],
          isolate: false,
        },
      },
      // Those that replace modules or globals have a process of their own.
      { extends: true, test: { name: 'alone', include: [alone] } },
    ],
  },
});
