import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { loadConfig } from '../../scripts/config.ts';

const dir = mkdtempSync(join(tmpdir(), 'basemeter-config-'));
afterAll(() => rmSync(dir, { recursive: true }));

test('has defaults, and an empty value is none', () => {
  expect(loadConfig({ API_PORT: '' }, dir)).toMatchObject({ apiPort: 54321, dbPort: 54322, functionsEnv: {} });
});

test.each([
  [{ API_PORT: 'high' }, /^API_PORT \("high"\) can't be used: it has to be a port number\.$/],
  [{ DB_PORT: '70000' }, /^DB_PORT \("70000"\) can't be used: a port is 65535 at most\.$/],
  [{ DATABASE_URL: 'localhost' }, /^DATABASE_URL can't be used: it has to be a URL like postgresql:/],
  [{ AI_BASE_URL: 'https://ai.example.test/v1' }, /^AI_BASE_URL is set and AI_API_KEY is not/],
  [{ AI_API_KEY: 'sk' }, /^AI_API_KEY is set and AI_BASE_URL is not/],
])('names what is off: %o', (environment, sentence) => {
  expect(() => loadConfig(environment, dir)).toThrow(sentence);
});

test('the shell wins over .env; functions get AI_*, CREEM_*, STRIPE_* and what .env sets, and nothing of the stack’s own', () => {
  writeFileSync(join(dir, '.env'), 'API_PORT=1111\nDB_PORT=2222\nAI_API_KEY=file\nPAYMENT_KEY=pay\n');
  const config = loadConfig(
    {
      API_PORT: '3333',
      AI_BASE_URL: 'https://ai.test/v1',
      AI_API_KEY: 'shell',
      AI_OTHER_KEY: 'other',
      STRIPE_SECRET_KEY: 'sk',
      HOME: '/root',
    },
    dir,
  );
  expect(config).toMatchObject({ apiPort: 3333, dbPort: 2222 });
  expect(config.functionsEnv).toEqual({
    AI_BASE_URL: 'https://ai.test/v1',
    AI_API_KEY: 'shell',
    AI_OTHER_KEY: 'other',
    PAYMENT_KEY: 'pay',
    STRIPE_SECRET_KEY: 'sk',
  });
});
