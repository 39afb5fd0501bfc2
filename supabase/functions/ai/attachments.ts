/** The files of attachments, for providers. Who may read a conversation was decided before. */
import { database } from '../_shared/database.ts';
import type { Part } from './context.ts';
import { type Files, withPictures } from './pictures.ts';

/** How long a provider may take to read a picture, s. */
const SIGNED_FOR = 3600;

const stored = database.storage.from('attachments');

const files: Files = {
  async urlsOf(paths) {
    const { data, error } = await stored.createSignedUrls(paths, SIGNED_FOR);
    if (error) console.error('attachments cannot be signed:', error.message);
    return new Map(
      (data ?? []).flatMap(({ path, signedUrl }): [string, string][] => (path && signedUrl ? [[path, signedUrl]] : [])),
    );
  },
  async open(path) {
    const { data, error } = await stored.download(path);
    if (error) console.error(`attachment ${path} cannot be read:`, error.message);
    return data ?? undefined;
  },
};

/** Messages of one conversation (`folder`: `<workspace>/<conversation>`), their pictures as `withPictures` gives them. */
export function withReadablePictures<Message extends { parts: Part[] }>(
  messages: Message[],
  folder: string,
): Promise<Message[]> {
  const isOnTheWeb = Deno.env.get('SUPABASE_URL')?.startsWith('https:') ?? false;
  return withPictures(messages, folder, files, isOnTheWeb);
}
