/** Exports of ChatGPT in both forms, as bytes. */
import { readFileSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';

/** A fixture's text. */
export const fixture = (name: 'one-file' | 'many-files'): string =>
  readFileSync(new URL(`fixtures/chatgpt/${name}.json`, import.meta.url), 'utf8');

/** Packs files as a ZIP: every second one compressed, the others as they are; without check sums, which nothing here reads. */
export function zip(files: Record<string, string>): Blob {
  const [bodies, directory]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (const [index, [name, text]] of Object.entries(files).entries()) {
    const [file, path] = [Buffer.from(text), Buffer.from(name)];
    const method = index % 2 ? 0 : 8;
    const packed = method ? deflateRawSync(file) : file;
    const facts = Buffer.alloc(26);
    facts.writeUInt16LE(20, 0);
    facts.writeUInt16LE(method, 4);
    facts.writeUInt32LE(packed.length, 14);
    facts.writeUInt32LE(file.length, 18);
    facts.writeUInt16LE(path.length, 22);
    bodies.push(Buffer.from('PK\x03\x04', 'latin1'), facts, path, packed);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), facts, place, path);
    offset += 30 + path.length + packed.length;
  }
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Object.keys(files).length, 6);
  end.writeUInt32LE(Buffer.concat(directory).length, 8);
  end.writeUInt32LE(offset, 12);
  return new Blob([Buffer.concat([...bodies, ...directory, Buffer.from('PK\x05\x06', 'latin1'), end])]);
}
