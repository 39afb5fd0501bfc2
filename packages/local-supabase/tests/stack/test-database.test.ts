import { expect, test } from 'vitest';
import { withClient } from '../../src/database.ts';
import { claimTestDatabase } from '../../src/test-database.ts';
import { withScratchDatabase } from '../support/scratch-database.ts';

test('tests refuse a database that holds a project, and empty one that an interrupted run left', async () => {
  await withScratchDatabase(async (url) => {
    await withClient(url, (client) => client.query('create schema auth'));
    await expect(claimTestDatabase(url)).rejects.toThrow('holds a project, which tests would spoil');
    await withClient(url, (client) => client.query('drop schema auth'));

    await claimTestDatabase(url);
    await withClient(url, (client) => client.query('create schema auth'));
    await claimTestDatabase(url);
    await withClient(url, async (client) => {
      expect((await client.query(`select from pg_namespace where nspname = 'auth'`)).rowCount).toBe(0);
    });
  });
});
