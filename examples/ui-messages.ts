/** Messages of the AI SDK's `useChat` as rows of `messages`, and back, unchanged. For a frontend to copy. */
import type { UIMessage } from 'ai';

/** What a message is stored as: for an insert (role user), or in the list `messages` of `import_conversation`. */
export const toRow = ({ id, role, parts, metadata }: UIMessage) => ({
  role,
  parts,
  metadata: { ui: { id, metadata } },
});

/** The message that a row is; one that was not made by `toRow` has the row's id and no metadata. */
export const toUIMessage = ({ id, role, parts, metadata }: Row) =>
  ({ ...metadata.ui, id: metadata.ui?.id ?? id, role, parts }) as UIMessage;

type Row = { id: string; role: string; parts: unknown; metadata: { ui?: { id: string; metadata?: unknown } } };
