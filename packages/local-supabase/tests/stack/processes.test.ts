import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { Service } from '../../src/processes.ts';

const folder = mkdtempSync(join(tmpdir(), 'local-supabase-service-'));
const services: Service[] = [];
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ['the delay before a restart doubles with each crash', undefined, [250, 500]],
  ['and goes back once the service has run for a while', 0, [250, 250]],
] as const)('%s', async (_, wellAfter, expected) => {
  const pids: number[] = [];
  const delays: number[] = [];
  const service = await Service.start({
    name: 'a service',
    command: process.execPath,
    args: ['-e', 'setInterval(() => undefined, 1000)'],
    env: {},
    logFile: join(folder, 'log'),
    isReady: async () => true,
    readyWithin: 5_000,
    wellAfter,
    stopSignal: 'SIGTERM',
    stopWithin: 1_000,
    onCrash: (sentence) => delays.push(Number(sentence.match(/started again in (\d+) ms/)?.[1])),
    onStart: ({ pid }) => pids.push(pid),
  });
  services.push(service);
  for (const crashes of [1, 2]) {
    process.kill(pids.at(-1) as number, 'SIGKILL');
    await vi.waitFor(() => expect(pids).toHaveLength(crashes + 1), 5_000);
  }
  expect(delays).toEqual(expected);
});
