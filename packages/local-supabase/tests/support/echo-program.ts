import { fileURLToPath } from 'node:url';
import type { Program } from '../../index.ts';

/** A program beside the stack that answers with its own environment. */
export const ECHO: Program = {
  name: 'echo',
  title: 'the echo',
  file: fileURLToPath(new URL('./echo.ts', import.meta.url)),
  env: { WORD: 'word' },
  functionsEnv: (url) => ({ ECHO_URL: url }),
};
