/** Errors of the database that a later try can mend. */
import { expect, test } from 'vitest';
import { isTransient, waitAfter } from '../../supabase/functions/_shared/outage.ts';

test.each<[object, number]>([
  // What PostgREST makes of a connection that breaks within a query.
  [{ code: '', message: '' }, 400],
  [{ message: 'fetch failed' }, 0],
  [{ message: '<html>Bad Gateway</html>' }, 502],
  [{ code: 'PGRST000' }, 503],
  [{ code: 'PGRST003' }, 504],
  [{ code: '08006' }, 503],
  [{ code: '57P01' }, 500],
  [{ code: '57P02' }, 500],
  [{ code: '40P01' }, 500],
  [{ code: '57014' }, 500],
])('%j with status %i is', (error, status) => {
  expect(isTransient(error, status)).toBe(true);
});

test.each<[object, number]>([
  [{ code: 'PT503', message: 'maintenance' }, 503],
  [{ code: 'PT402' }, 402],
  [{ code: 'PGRST202', message: 'no such function' }, 404],
  [{ code: '23505' }, 409],
  [{ code: 'P0001' }, 400],
  [{ message: 'Unauthorized' }, 401],
])('%j with status %i is not', (error, status) => {
  expect(isTransient(error, status)).toBe(false);
});

test('waits double up to a bound, each a little different', () => {
  const waits = Array.from({ length: 12 }, (_, tries) => waitAfter(tries));
  for (const [tries, wait] of waits.entries()) {
    const full = Math.min(100 * 2 ** tries, 3_000);
    expect(wait).toBeGreaterThanOrEqual(full / 2);
    expect(wait).toBeLessThanOrEqual(full);
  }
});
