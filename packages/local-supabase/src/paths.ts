/** Where things are. */
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** Where a stack keeps the files of its storage. */
export const storageFolder = (dataDir: string): string => join(dataDir, 'storage');

/** `require.resolve` as seen from this package. */
export const resolveModule = createRequire(import.meta.url).resolve;
