/**
 * Something a developer can put right. Its message is one clear sentence that names what is off and what to do; the
 * commands print it alone, without a stack trace.
 */
export class StackError extends Error {
  override name = 'StackError';
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
