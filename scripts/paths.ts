/** Where things are in a checkout. */
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of this checkout. */
export const PROJECT_DIR = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** The development stack's data: database, keys, logs, state. Ignored by git. */
export const DEV_DATA_DIR = join(PROJECT_DIR, '.basemeter');

/** Deno's module cache, shared by every stack of this checkout; another Deno (DENO_BIN) has one of its own. */
export const DENO_DIR = join(DEV_DATA_DIR, process.env.DENO_BIN ? 'deno-other' : 'deno');

/** `require.resolve` as seen from this checkout. */
export const resolveModule = createRequire(import.meta.url).resolve;
