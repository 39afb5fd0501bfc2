/** Pictures of messages as a provider can read them: attachments by an address that works for a while, or as data. */
import { Buffer } from 'node:buffer';
import { isUuid } from '../_shared/text.ts';
import type { Part } from './context.ts';

/** What reads the files of attachments: addresses for whoever has them, or the bytes. */
export interface Files {
  urlsOf(paths: string[]): Promise<Map<string, string>>;
  open(path: string): Promise<Blob | undefined>;
}

/** Bytes of pictures that one request carries as data. */
const MOST_BYTES = 8_388_608;

/**
 * Gives each picture in messages of one conversation (`folder`: `<workspace>/<conversation>`) the `url` that a provider can
 * read it by: attachments, and files of the AI SDK that are pictures. A file that is not there stays as it is. Where our
 * Storage is not on the web, as on a development machine, pictures go as data, as many as `MOST_BYTES` holds.
 */
export async function withPictures<Message extends { parts: Part[] }>(
  messages: Message[],
  folder: string,
  files: Files,
  isOnTheWeb: boolean,
): Promise<Message[]> {
  const pathOf = (part: Part) => {
    const id = isPicture(part) && typeof part.attachment_id === 'string' ? part.attachment_id : '';
    return isUuid(id) ? `${folder}/${id}` : ''; // nothing else leads out of the folder
  };
  const paths = [...new Set(messages.flatMap(({ parts }) => parts.map(pathOf)))].filter((path) => path !== '');
  if (paths.length === 0 && !messages.some(({ parts }) => parts.some(isPicture))) return messages;
  const urls = isOnTheWeb && paths.length > 0 ? await files.urlsOf(paths) : await asData(paths, files);
  return messages.map((message) => ({
    ...message,
    parts: message.parts.map((part) => {
      const url = urls.get(pathOf(part)) ?? part.url;
      return isPicture(part) && typeof url === 'string' ? { ...part, type: 'image', url } : part;
    }),
  }));
}

function isPicture({ type, media_type, mediaType }: Part): boolean {
  return type === 'image' || (type === 'file' && /^image\//.test(String(media_type ?? mediaType)));
}

/** The newest pictures first: of too many, the oldest are left out. */
async function asData(paths: string[], files: Files): Promise<Map<string, string>> {
  const urls = new Map<string, string>();
  let left = MOST_BYTES;
  for (const path of paths.toReversed()) {
    const file = await files.open(path);
    if (!file || file.size > left) continue;
    left -= file.size;
    urls.set(path, `data:${file.type};base64,${Buffer.from(await file.arrayBuffer()).toString('base64')}`);
  }
  return urls;
}
