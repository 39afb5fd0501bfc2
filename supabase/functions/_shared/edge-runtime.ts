/** What the platform's runtime gives besides Deno's. */
declare global {
  const EdgeRuntime: { waitUntil(work: Promise<unknown>): unknown };
}

/** Keeps the worker alive until `work` has ended, although the answer may be out by then. */
export function keepAlive(work: Promise<unknown>): void {
  EdgeRuntime.waitUntil(work.catch(() => undefined));
}
