/** A file on its way from one place to the other, never kept: counted, and ended where it is too long or too slow. */
import { FileRefusedError } from './guarded-fetch.ts';

/** A file's bytes, to be read once. */
export interface LimitedFile {
  stream: ReadableStream<Uint8Array>;
  /** Why the stream was ended, where it was: who reads it may know only that it broke. */
  failure: () => Error | undefined;
}

/**
 * Passes a response's body on piece by piece, as fast as it is read. The stream breaks with FileRefusedError after `most`
 * bytes, and with an Error where nothing comes for `longestSilence` ms, after `deadline`, or for a file without a byte.
 */
export function limitFile(response: Response, most: number, longestSilence: number, deadline: number): LimitedFile {
  const reader = (response.body ?? new Blob([]).stream()).getReader();
  let length = 0;
  let failure: Error | undefined;
  const fail = (error: Error): never => {
    failure = error;
    reader.cancel().catch(() => undefined);
    throw error;
  };
  const next = async () => {
    const wait = Math.min(longestSilence, deadline - Date.now());
    const { done, value } = await withinTime(reader.read(), wait).catch((error: unknown) => fail(asError(error)));
    length += value?.length ?? 0;
    if (length > most) fail(new FileRefusedError(`the file is larger than ${most} bytes`));
    if (done && length === 0) fail(new Error('the file is empty'));
    return done ? undefined : value;
  };
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = await next();
        if (piece) controller.enqueue(piece);
        else controller.close();
      },
      cancel: (reason) => reader.cancel(reason),
    },
    // Nothing is read ahead.
    { highWaterMark: 0 },
  );
  return { stream, failure: () => failure };
}

async function withinTime<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the file comes too slowly')), Math.max(milliseconds, 0));
  });
  try {
    return await Promise.race([work, silence]);
  } finally {
    clearTimeout(timer);
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
