/** For which workspace a request is: the header `x-workspace-id`. */
import { z } from 'zod';
import { invalidRequest } from './errors.ts';

/** Reads `x-workspace-id`; nothing without it. Throws 400 `invalid_request` for what is no UUID. */
export function readWorkspace(headers: Headers): string | undefined {
  const id = headers.get('x-workspace-id') || undefined;
  if (id !== undefined && !z.guid().safeParse(id).success) {
    throw invalidRequest('x-workspace-id must be a UUID.', 'x-workspace-id');
  }
  return id;
}
