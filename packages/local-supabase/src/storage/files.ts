/** The bytes on disk. A file is named by its version, a random id: nothing of what a caller sends becomes a path. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeStream } from 'node:stream/web';
import { tooLarge } from './errors.ts';

/** What of a refused upload is still read, so that its sender comes to read the answer. */
const MAX_DRAINED_BYTES = 67_108_864;

/** An upload that has arrived. */
export type Stored = { version: string; size: number; eTag: string };

/** The files of one stack. */
export class Files {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Takes half-written uploads of an earlier run away. */
  async tidyUp(): Promise<void> {
    await rm(join(this.#folder, 'uploads'), { recursive: true, force: true });
  }

  /** Writes the stream as it comes. Throws when it is longer than `limit`, and then leaves nothing. */
  async write(body: ReadableStream<Uint8Array> | null, limit: number): Promise<Stored> {
    const version = randomUUID();
    const draft = join(this.#folder, 'uploads', version);
    await mkdir(join(this.#folder, 'uploads'), { recursive: true, mode: 0o700 });
    const hash = createHash('md5');
    const source = Readable.fromWeb((body ?? new Blob([]).stream()) as NodeStream<Uint8Array>);
    let size = 0;
    async function* measured(): AsyncGenerator<Uint8Array> {
      for await (const chunk of source.iterator({ destroyOnReturn: false })) {
        size += chunk.byteLength;
        if (size > limit) throw tooLarge();
        hash.update(chunk);
        yield chunk;
      }
    }
    try {
      await pipeline(measured, createWriteStream(draft, { mode: 0o600 }));
      await rename(draft, this.#path(version));
      return { version, size, eTag: `"${hash.digest('hex')}"` };
    } catch (error) {
      await rm(draft, { force: true });
      await drain(source);
      throw error;
    }
  }

  /** The file's bytes from `start` to `end` (both in it); undefined where there is no such file. */
  async read(version: string, range?: { start: number; end: number }): Promise<ReadableStream | undefined> {
    const path = this.#path(version);
    const found = isVersion(version) && (await stat(path).catch(() => undefined));
    if (!found) return undefined;
    return Readable.toWeb(createReadStream(path, range)) as ReadableStream;
  }

  /** Deletes these files. One that is gone already is no error. */
  async remove(versions: (string | null)[]): Promise<void> {
    const known = versions.filter((version): version is string => version !== null && isVersion(version));
    await Promise.all(known.map((version) => rm(this.#path(version), { force: true })));
  }

  #path(version: string): string {
    return join(this.#folder, version);
  }
}

/** The column is text that the service role may write, so it is checked before it becomes a path. */
function isVersion(text: string): boolean {
  return /^[0-9a-f-]{36}$/.test(text);
}

/** Reads what is left of a refused upload; fetch() in a caller may fail when the answer comes before its body is taken. */
export async function drain(source: Readable): Promise<void> {
  let left = MAX_DRAINED_BYTES;
  try {
    for await (const chunk of source) {
      left -= chunk.byteLength;
      if (left < 0) break;
    }
  } catch {
    // The sender is gone.
  }
}
