import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { webhookSecrets } from '../../scripts/stack/environment.ts';
import { createKeys, loadKeys } from '../../scripts/stack/keys.ts';

const dir = mkdtempSync(join(tmpdir(), 'basemeter-keys-'));
const file = join(dir, 'keys.json');
afterAll(() => rmSync(dir, { recursive: true }));

test('a file from before there were payments gets webhook secrets, once, and keeps its keys', () => {
  const { webhookSecrets: _none, ...before } = createKeys();
  writeFileSync(file, JSON.stringify(before));
  const keys = loadKeys(file);
  expect(keys).toMatchObject(before);
  expect(keys.webhookSecrets.creem).not.toBe(keys.webhookSecrets.stripe);
  expect(loadKeys(file)).toEqual(keys);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(keys);
});

test('the developer’s own webhook secret goes before the stack’s', () => {
  const keys = createKeys();
  expect(webhookSecrets({ CREEM_WEBHOOK_SECRET: 'own' }, keys)).toEqual({
    CREEM_WEBHOOK_SECRET: 'own',
    STRIPE_WEBHOOK_SECRET: keys.webhookSecrets.stripe,
  });
});
