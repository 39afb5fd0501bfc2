/** A functions process of a test's own, beside the stack's: with the same database and simulator, and to be killed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  denoEnv,
  dependencyFlags,
  findDeno,
  findFreePort,
  findFunctions,
  HOST_FILE,
  LOCALHOST,
  Service,
} from '@basemeter/local-supabase';
import { DENO_DIR, PROJECT_DIR } from '../../scripts/paths.ts';
import { env, urls } from './stack.ts';

/** A running one. */
export interface FunctionsProcess {
  /** Where its functions answer, without the gateway. */
  url: string;
  /** Ends it at once, with all that it is doing; it is not started again. */
  kill(): Promise<void>;
}

/** Starts one that serves the function of this name. */
export async function startFunctionsProcess(name: string): Promise<FunctionsProcess> {
  const port = await findFreePort();
  const url = `http://${LOCALHOST}:${port}`;
  const folder = mkdtempSync(join(tmpdir(), 'basemeter-functions-'));
  const jwks = await (await fetch(`${env.API_URL}/auth/v1/.well-known/jwks.json`)).text();
  const own = new URL(urls.database);
  own.username = 'basemeter_functions';
  const service = await Service.start({
    name: 'a functions process of a test',
    command: findDeno(),
    args: ['run', ...dependencyFlags(PROJECT_DIR), '--no-prompt', '--quiet', '-A', HOST_FILE],
    env: {
      ...denoEnv(DENO_DIR),
      SUPABASE_URL: env.API_URL,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: env.PUBLISHABLE_KEY }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: env.SECRET_KEY }),
      SUPABASE_JWKS: jwks,
      SUPABASE_ANON_KEY: env.ANON_KEY,
      SUPABASE_SERVICE_ROLE_KEY: env.SERVICE_ROLE_KEY,
      AI_BASE_URL: `${urls.simulator}/v1`,
      AI_API_KEY: 'simulator',
      // As the stack's own functions go there: an empty one is PostgREST.
      BASEMETER_DB_URL: process.env.BASEMETER_DB_URL ?? own.href,
      BASEMETER_DB_ACQUIRE_SECONDS: '30',
      HOST_PORT: String(port),
      HOST_FUNCTIONS: JSON.stringify(findFunctions(PROJECT_DIR).filter((one) => one.name === name)),
      HOST_JWKS: jwks,
      HOST_JWT_SECRET: env.JWT_SECRET,
    },
    cwd: PROJECT_DIR,
    logFile: join(folder, 'functions.log'),
    isReady: async () => (await fetch(`${url}/_health`)).ok,
    readyWithin: 60_000,
    stopSignal: 'SIGKILL',
    stopWithin: 5_000,
    onCrash: (sentence) => console.error(sentence),
    onStart: () => undefined,
  });
  return {
    url,
    kill: async () => {
      await service.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
