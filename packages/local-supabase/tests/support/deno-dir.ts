import { fileURLToPath } from 'node:url';

/** Deno's module cache of all these tests; another Deno (DENO_BIN) has one of its own. */
export const DENO_DIR = fileURLToPath(
  new URL(`../../node_modules/.cache/deno${process.env.DENO_BIN ? '-other' : ''}`, import.meta.url),
);
