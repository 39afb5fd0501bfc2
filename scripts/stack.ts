/** Basemeter's local stack: a local Supabase with this checkout's settings, its simulators and its scheduled jobs. */
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import {
  LOCALHOST,
  type LocalSupabase,
  type LocalSupabaseOptions,
  loadKeys,
  type Program,
  type StackKeys,
  type StackState,
  type StatusEnv as SupabaseEnv,
  startLocalSupabase,
  statusEnv,
} from '@basemeter/local-supabase';
import { AI_SIMULATOR, PAYMENT_SIMULATOR, SIMULATED_CREEM_KEY, SIMULATED_STRIPE_KEY } from '@basemeter/simulators';
import { DENO_DIR, PROJECT_DIR } from './paths.ts';

/** The secrets that payment events are signed with. */
type WebhookSecrets = Record<'CREEM_WEBHOOK_SECRET' | 'STRIPE_WEBHOOK_SECRET', string>;

/** What `npm run status` prints. */
export type StatusEnv = SupabaseEnv & WebhookSecrets;

/** A running stack. */
export type Stack = LocalSupabase & { env: StatusEnv };

/**
 * What a stack is started with; `projectDir` is this checkout's unless given. Without AI_BASE_URL in `env` the AI simulator
 * is started, and without CREEM_API_KEY or STRIPE_SECRET_KEY the payment simulator, for the platform that has no key. An empty
 * BASEMETER_DB_URL has the functions go to Postgres by PostgREST.
 */
export type StackOptions = Omit<
  LocalSupabaseOptions,
  'projectDir' | 'denoDir' | 'programs' | 'schedule' | 'notes' | 'functionsRole'
> &
  Partial<Pick<LocalSupabaseOptions, 'projectDir'>>;

/** What is done from time to time; a hosted project has pg_cron for it. */
export const SCHEDULE = {
  databaseFunction: 'private.run_due_work',
  calls: [
    { name: 'payment tasks', path: 'billing/tasks', interval: 60_000 },
    { name: 'syncing of videos', path: 'video/sync', interval: 10_000 },
  ],
};

/** Starts it. Throws a StackError (one sentence) when it can't be started; then nothing is left running. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { env = {} } = options;
  const secrets = webhookSecrets(env, loadKeys(join(options.dataDir, 'keys.json')));
  const stack = await startLocalSupabase({
    projectDir: PROJECT_DIR,
    ...options,
    denoDir: DENO_DIR,
    env: { ...env, ...secrets },
    functionsRole: { role: 'basemeter_functions', variable: 'BASEMETER_DB_URL' },
    programs: simulators(env, secrets),
    schedule: SCHEDULE,
    notes: secrets,
  });
  return Object.assign(stack, { env: { ...stack.env, ...secrets } });
}

/** The variables of a stack that runs. */
export function envOf({ apiPort, adminUrl, notes }: StackState, keys: StackKeys): StatusEnv {
  const { CREEM_WEBHOOK_SECRET = '', STRIPE_WEBHOOK_SECRET = '' } = notes;
  return {
    ...statusEnv(`http://${LOCALHOST}:${apiPort}`, adminUrl, keys),
    CREEM_WEBHOOK_SECRET,
    STRIPE_WEBHOOK_SECRET,
  };
}

/** The developer's own where set, else secrets made from the stack's keys. */
export function webhookSecrets(env: Record<string, string>, { jwtSecret }: StackKeys): WebhookSecrets {
  const own = (platform: string) => `whsec_${createHmac('sha256', jwtSecret).update(platform).digest('base64url')}`;
  return {
    CREEM_WEBHOOK_SECRET: env.CREEM_WEBHOOK_SECRET || own('creem'),
    STRIPE_WEBHOOK_SECRET: env.STRIPE_WEBHOOK_SECRET || own('stripe'),
  };
}

/** The simulators of what `env` names no real one of. */
function simulators(env: Record<string, string>, secrets: WebhookSecrets): Program[] {
  const programs: Program[] = [];
  if (!env.AI_BASE_URL) {
    programs.push({
      name: 'simulator',
      title: 'the AI simulator',
      file: AI_SIMULATOR,
      functionsEnv: (url) => ({ AI_BASE_URL: `${url}/v1`, AI_API_KEY: 'simulator' }),
    });
  }
  if (!env.CREEM_API_KEY || !env.STRIPE_SECRET_KEY) {
    programs.push({
      name: 'payment-simulator',
      title: 'the payment simulator',
      file: PAYMENT_SIMULATOR,
      env: secrets,
      functionsEnv: (url) => ({
        ...(env.CREEM_API_KEY ? {} : { CREEM_API_KEY: SIMULATED_CREEM_KEY, CREEM_API_URL: `${url}/creem` }),
        ...(env.STRIPE_SECRET_KEY ? {} : { STRIPE_SECRET_KEY: SIMULATED_STRIPE_KEY, STRIPE_API_URL: url }),
      }),
    });
  }
  return programs;
}
