/** `npm start`: the development stack, in the foreground until Ctrl-C, or in the background with `--detach`. */
import { loadConfig } from '../config.ts';
import { isDetached, startDetached, tellParent } from '../detach.ts';
import { DEV_DATA_DIR } from '../paths.ts';
import { aborted, abortOnSignal } from '../signals.ts';
import { type Stack, startStack } from '../stack.ts';
import { printStatus } from './status.ts';

/** Starts the stack. Exit code 1 when it could not be started. */
export async function run(args: string[]): Promise<number> {
  const signal = abortOnSignal();
  if (args.includes('--detach')) return startDetached(signal);
  const config = loadConfig();
  const stack = await startStack({
    dataDir: DEV_DATA_DIR,
    apiPort: config.apiPort,
    dbPort: config.dbPort,
    databaseUrl: config.databaseUrl,
    postgrestBin: config.postgrestBin,
    env: config.functionsEnv,
    signal,
    onProgress: (line) => console.log(line),
  });
  printWelcome(stack);
  console.log(isDetached() ? '\nIt runs in the background; `npm stop` ends it.' : '\nCtrl-C stops it.');
  tellParent();
  await aborted(signal);
  console.log('\nStopping');
  await stack.stop();
  return 0;
}

function printWelcome({ env, urls }: Stack): void {
  console.log(
    '\nBasemeter is up. This is a development stack: sign-in and storage are stand-ins for Supabase Auth and Storage.',
  );
  if (urls.programs.simulator)
    console.log('AI calls are answered by a simulator; set AI_BASE_URL and AI_API_KEY for a real provider.');
  if (urls.programs['payment-simulator'])
    console.log('Payments are simulated; set CREEM_API_KEY or STRIPE_SECRET_KEY for a real platform.');
  console.log('');
  printStatus(env);
  console.log(`
Logs are in .basemeter/logs. Three commands to try:

  # Sign up: the answer has an access token, and the account 3 credits.
  curl -s '${env.API_URL}/auth/v1/signup' -H 'apikey: ${env.PUBLISHABLE_KEY}' -H 'content-type: application/json' -d '{"email":"ana@example.com","password":"correct horse"}'

  # A metered AI call, with that access token in TOKEN.
  curl -s '${env.FUNCTIONS_URL}/ai/v1/chat/completions' -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}'

  # The addresses and keys again.
  npm run status`);
}
