/** Who may call what: people their own affairs. */
import { requireCaller } from '../_shared/auth.ts';
import { ApiError } from '../_shared/errors.ts';

/** Returns the id of the signed-in person. Throws 401 `not_authenticated`, and 403 `forbidden` for an API key. */
export async function requirePerson(request: Request): Promise<string> {
  const { user_id } = await requireCaller(request);
  if (!user_id) throw new ApiError(403, 'forbidden', 'API keys cannot pay or change plans. Sign in instead.');
  return user_id;
}
