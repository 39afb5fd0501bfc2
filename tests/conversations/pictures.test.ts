/** What a provider gets of the pictures in a conversation. */
import { expect, test } from 'vitest';
import { type Files, withPictures } from '../../supabase/functions/ai/pictures.ts';

const asked: string[][] = [];
const files = (sizes: Record<string, number>): Files => ({
  async urlsOf(paths) {
    asked.push(paths);
    return new Map(paths.filter((path) => path in sizes).map((path) => [path, `https://files.test/${path}`]));
  },
  async open(path) {
    return path in sizes ? new Blob([new Uint8Array(sizes[path] ?? 0)], { type: 'image/png' }) : undefined;
  },
});
/** An id that ends with this digit. */
const id = (last: string) => `00000000-0000-4000-8000-00000000000${last}`;
const pathOf = (last: string) => `w/c/${id(last)}`;
const picture = (last: string) => ({ type: 'image', attachment_id: id(last), media_type: 'image/png' });

test('attachments get an address, all by one request, and other parts stay as they are', async () => {
  const text = { type: 'text', text: 'What is this?' };
  const paper = { type: 'file', attachment_id: 'p', media_type: 'application/pdf', name: 'a.pdf' };
  const messages = [
    { id: 'm', parts: [text, picture('a'), paper] },
    { id: 'n', parts: [picture('a'), picture('f')] },
  ];
  expect(await withPictures(messages, 'w/c', files({ [pathOf('a')]: 1 }), true)).toEqual([
    { id: 'm', parts: [text, { ...picture('a'), url: `https://files.test/${pathOf('a')}` }, paper] },
    { id: 'n', parts: [{ ...picture('a'), url: `https://files.test/${pathOf('a')}` }, picture('f')] },
  ]);
  expect(asked).toEqual([[pathOf('a'), pathOf('f')]]);
});

test('pictures of the AI SDK are pictures, and what has an address keeps it', async () => {
  const parts = [
    { type: 'file', mediaType: 'image/png', url: 'https://x.test/a.png' },
    { type: 'file', mediaType: 'text/plain', url: 'https://x.test/a.txt' },
    { type: 'image', url: 'https://x.test/b.png' },
  ];
  const [message] = await withPictures([{ parts }], 'w/c', files({}), true);
  expect(message?.parts.map(({ type, url }) => [type, url])).toEqual([
    ['image', 'https://x.test/a.png'],
    ['file', 'https://x.test/a.txt'],
    ['image', 'https://x.test/b.png'],
  ]);
});

test('without a Storage on the web pictures go as data, the newest ones, as many as fit', async () => {
  const sizes = { [pathOf('a')]: 5_000_000, [pathOf('b')]: 5_000_000, [pathOf('c')]: 3 };
  const messages = [{ parts: [picture('a')] }, { parts: [picture('b'), picture('c')] }];
  const [first, last] = await withPictures(messages, 'w/c', files(sizes), false);
  expect(first?.parts).toEqual([picture('a')]);
  expect(last?.parts[1]).toEqual({ ...picture('c'), url: 'data:image/png;base64,AAAA' });
  expect(String((last?.parts[0] as { url?: string } | undefined)?.url).length).toBeGreaterThan(6_000_000);
});

test('what is no id of an attachment leads nowhere', async () => {
  asked.length = 0;
  const parts = ['../../w/d/file', '..', `${id('a')}/../x`, { id: 'x' }, 7].map((attachment_id) => ({
    type: 'image',
    attachment_id,
  }));
  expect(await withPictures([{ parts }], 'w/c', files({}), true)).toEqual([{ parts }]);
  expect(asked).toEqual([]);
});
