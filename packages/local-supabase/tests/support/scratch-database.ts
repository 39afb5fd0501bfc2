/** An empty database of the running server, for tests that need one to themselves. */
import { randomUUID } from 'node:crypto';
import { adminPool, urls } from './stack.ts';

/** Makes one, hands its URL (a superuser’s) to `work`, and drops it. */
export async function withScratchDatabase(work: (url: string) => Promise<void>): Promise<void> {
  const name = `scratch_${randomUUID().slice(0, 8)}`;
  const url = new URL(urls.databaseAdmin);
  url.pathname = `/${name}`;
  await adminPool.query(`create database ${name} template template0`);
  try {
    await work(url.href);
  } finally {
    await adminPool.query(`drop database ${name} with (force)`);
  }
}
