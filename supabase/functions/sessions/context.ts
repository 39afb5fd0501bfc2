/** What a session is analysed with, before anything is admitted. */
import type { Caller } from '../_shared/auth.ts';
import { database, run } from '../_shared/database.ts';

/** As `session_context` answers it; of nobody else's session. */
export interface SessionContext {
  model: string;
  /** The operator's, for the system role. */
  instructions: string;
  workspace_id?: string;
  embedding_model?: string | null;
}

/** Reads it. Whether the caller may do what they ask for is said by the rpc that does it. */
export async function contextOf({ user_id, api_key_hash }: Caller, session_id: string): Promise<SessionContext> {
  const context = await run(() => database.rpc('session_context', { user_id, api_key_hash, session_id }));
  return context as unknown as SessionContext;
}
