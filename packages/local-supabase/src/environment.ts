/** The variables that a stack shows to developers and to its functions. */
import { urlForRole } from './database.ts';
import type { StackKeys } from './keys.ts';

/** The variables of `supabase status -o env` that this stack has. */
export type StatusEnv = Record<
  | 'API_URL'
  | 'DB_URL'
  | 'FUNCTIONS_URL'
  | 'PUBLISHABLE_KEY'
  | 'SECRET_KEY'
  | 'JWT_SECRET'
  | 'ANON_KEY'
  | 'SERVICE_ROLE_KEY',
  string
>;

/** The variables of a stack. `adminUrl` is the superuser's URL of its database. */
export function statusEnv(apiUrl: string, adminUrl: string, keys: StackKeys): StatusEnv {
  return {
    API_URL: apiUrl,
    DB_URL: urlForRole(adminUrl, 'postgres'),
    FUNCTIONS_URL: `${apiUrl}/functions/v1`,
    PUBLISHABLE_KEY: keys.publishableKey,
    SECRET_KEY: keys.secretKey,
    JWT_SECRET: keys.jwtSecret,
    ANON_KEY: keys.anonKey,
    SERVICE_ROLE_KEY: keys.serviceRoleKey,
  };
}

/** The variables the platform gives to every function, under its names and in its shapes. */
export function platformEnv(apiUrl: string, adminUrl: string, keys: StackKeys): Record<string, string> {
  return {
    SUPABASE_URL: apiUrl,
    SUPABASE_DB_URL: urlForRole(adminUrl, 'postgres'),
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
    SUPABASE_JWKS: JSON.stringify(keys.jwks),
    SUPABASE_ANON_KEY: keys.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: keys.serviceRoleKey,
  };
}
