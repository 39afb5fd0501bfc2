/** Work that may take only so long. */

/** Work that took longer than it may. */
export class TimeoutError extends Error {}

/**
 * Runs `work` for at most `milliseconds` and throws `TimeoutError` after that. The signal tells the work to stop, but does
 * not have to be heeded: Deno no longer does once the request object of a fetch is collected as garbage.
 */
export async function inTime<T>(milliseconds: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TimeoutError(`no answer in ${milliseconds} ms`));
      controller.abort();
    }, milliseconds);
  });
  try {
    return await Promise.race([work(controller.signal), silence]);
  } finally {
    clearTimeout(timer);
  }
}
