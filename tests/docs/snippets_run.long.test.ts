/** The JavaScript of README.md and docs/, run in the order in which it is read, on a stack with the demo rows. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { startTestStack } from '../../scripts/testing/test-stack.ts';
import { readSnippets } from './pages.ts';

/** What a reader has to fill in; and every answer that is no success is written down. */
const BEFORE = `
const unmatched_id = crypto.randomUUID(), event_id = 0, refused = [];
const send = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const response = await send(input, init);
  if (!response.ok) refused.push(new URL(input.url ?? input).pathname + ' ' + response.status);
  return response;
};`;
const AFTER = `
console.log('\\n' + JSON.stringify({ refused, later: later.status, wrong, left: state.remaining, report: typeof link.signedUrl }));
process.exit(0);`;

/** Of ids that only a reader has. */
const REFUSED = ['resolve_unmatched_payment', 'resolve_dispute', 'replay_payment_event'];

test('the snippets run, one after the other', async () => {
  const stack = await startTestStack({ seed: true });
  const home = join(PROJECT_DIR, '.basemeter');
  mkdirSync(home, { recursive: true });
  const dir = mkdtempSync(join(home, 'snippets-'));
  try {
    const file = join(dir, 'snippets.mjs');
    writeFileSync(file, `${BEFORE}\n${readSnippets()}\n${AFTER}`);
    const { stdout } = await promisify(execFile)(process.execPath, [file], { env: { ...process.env, ...stack.env } });
    const { refused, ...rest } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
    expect(refused).toEqual(REFUSED.map((name) => `/rest/v1/rpc/${name} 404`));
    expect(rest).toEqual({ later: 'completed', wrong: [], left: 4, report: 'string' });
  } finally {
    rmSync(dir, { recursive: true });
    await stack.stop();
  }
}, 120_000);
