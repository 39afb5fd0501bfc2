/** What Storage's errors say about another try. */

/** 404: there is no Storage, or no bucket; 413 and 415: the bucket takes no such file. */
const FINAL = [404, 413, 415];

/** Whether an error of Storage would come again. Its answers carry the status in their body, and 400 on the outside. */
export function isFinalRefusal(error: Error): boolean {
  const { status, statusCode } = error as { status?: number; statusCode?: string };
  return FINAL.some((code) => status === code || statusCode === String(code));
}
