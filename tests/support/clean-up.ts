/** Runs for each file: no spy of its own is left to the next file in the same process. */
import { afterAll, vi } from 'vitest';

afterAll(() => {
  vi.restoreAllMocks();
});
