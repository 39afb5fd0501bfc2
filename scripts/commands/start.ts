/** `npm start`: the development stack, in the foreground until Ctrl-C, or in the background with `--detach`. */
import { loadConfig } from '../stack/config.ts';
import { startStack } from '../stack/index.ts';
import { DEV_DATA_DIR } from '../stack/paths.ts';

/** Starts the stack. */
export async function run(args: string[]): Promise<number> {
  const config = loadConfig();
  const interrupted = new AbortController();
  const stopSignal = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        interrupted.abort();
        resolve();
      });
    }
  });
  const stack = await startStack({
    dataDir: DEV_DATA_DIR,
    apiPort: config.apiPort,
    dbPort: config.dbPort,
    databaseUrl: config.databaseUrl,
    postgrestBin: config.postgrestBin,
    env: config.functionsEnv,
    signal: interrupted.signal,
    onProgress: (line) => console.log(line),
  });
  console.log(stack.env, args);
  await stopSignal;
  await stack.stop();
  return 0;
}
