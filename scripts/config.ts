/** The settings of the development stack: environment variables, and .env in the project's root where those are unset. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { StackError } from '@basemeter/local-supabase';
import { z } from 'zod';
import { PROJECT_DIR } from './paths.ts';

const port = z.coerce
  .number({ error: 'it has to be a port number' })
  .int('it has to be a port number')
  .min(0, 'a port is 0 or more')
  .max(65535, 'a port is 65535 at most');
const urlOf = (protocol: RegExp, example: string) => z.url({ protocol, error: `it has to be a URL like ${example}` });

const schema = z.object({
  API_PORT: port.default(54321),
  DB_PORT: port.default(54322),
  DATABASE_URL: urlOf(/^postgres(ql)?$/, 'postgresql://user:password@host:5432/name').optional(),
  POSTGREST_BIN: z.string().min(1).optional(),
  AI_BASE_URL: urlOf(/^https?$/, 'https://api.example.com/v1').optional(),
  AI_API_KEY: z.string().min(1).optional(),
  CREEM_API_URL: urlOf(/^https?$/, 'https://test-api.creem.io').optional(),
  STRIPE_API_URL: urlOf(/^https?$/, 'https://api.stripe.com').optional(),
});

/** How the variables of the shell begin that functions get. */
const FOR_FUNCTIONS = /^(AI|CREEM|STRIPE|BASEMETER_DB)_/;

/** The settings, checked. */
export type StackConfig = {
  apiPort: number;
  dbPort: number;
  /** Superuser URL of a server to use instead of the embedded one. */
  databaseUrl: string | undefined;
  /** A PostgREST program to use instead of the one from npm. */
  postgrestBin: string | undefined;
  /** What the functions get: every AI_*, CREEM_*, STRIPE_* and BASEMETER_DB_* variable, and all that .env and supabase/functions/.env set for them. */
  functionsEnv: Record<string, string>;
};

/**
 * Reads the settings from `environment` (the shell's), then .env, then defaults. An empty value counts as unset.
 * Throws a StackError that names the variable that is off.
 */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env, projectDir = PROJECT_DIR): StackConfig {
  const fromShell = withoutEmpty(environment);
  const fromFile = readEnvFile(join(projectDir, '.env'));
  const all = { ...fromFile, ...fromShell };
  const result = schema.safeParse(all);
  if (!result.success) {
    const { path, message } = result.error.issues[0] ?? { path: [], message: '' };
    // Ports alone are shown: the other settings may hold a password.
    const name = String(path[0]);
    const value = name.endsWith('_PORT') ? ` ("${all[name]}")` : '';
    throw new StackError(`${name}${value} can't be used: ${message}.`);
  }
  const { API_PORT, DB_PORT, DATABASE_URL, POSTGREST_BIN, AI_BASE_URL, AI_API_KEY } = result.data;
  if (!AI_BASE_URL !== !AI_API_KEY) {
    const [set, unset] = AI_BASE_URL ? ['AI_BASE_URL', 'AI_API_KEY'] : ['AI_API_KEY', 'AI_BASE_URL'];
    throw new StackError(`${set} is set and ${unset} is not; a provider needs both, its simulator neither of them.`);
  }
  const ofShell = Object.fromEntries(Object.entries(fromShell).filter(([name]) => FOR_FUNCTIONS.test(name)));
  const forFunctions = { ...readEnvFile(join(projectDir, 'supabase/functions/.env')), ...fromFile, ...ofShell };
  return {
    apiPort: API_PORT,
    dbPort: DB_PORT,
    databaseUrl: DATABASE_URL,
    postgrestBin: POSTGREST_BIN,
    functionsEnv: withoutStackSettings(forFunctions),
  };
}

function withoutEmpty(variables: NodeJS.ProcessEnv): Record<string, string> {
  const set: Record<string, string> = {};
  for (const [name, value] of Object.entries(variables)) if (value) set[name] = value;
  return set;
}

function readEnvFile(file: string): Record<string, string> {
  return existsSync(file) ? withoutEmpty(parseEnv(readFileSync(file, 'utf8'))) : {};
}

/** The superuser's URL and the like are none of the functions' business. */
function withoutStackSettings(variables: Record<string, string>): Record<string, string> {
  const ofTheStack = ['API_PORT', 'DB_PORT', 'DATABASE_URL', 'POSTGREST_BIN'];
  return Object.fromEntries(Object.entries(variables).filter(([name]) => !ofTheStack.includes(name)));
}
