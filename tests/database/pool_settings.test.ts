/** The settings of the functions' own connections to Postgres. */
import { expect, test } from 'vitest';
import { readPoolSettings } from '../../supabase/functions/_shared/pool-settings.ts';

const settings = (variables: Record<string, string>) =>
  readPoolSettings({ get: (name) => variables[name.replace('BASEMETER_DB_', '')] });
const url = (host: string, more = '') => ({ URL: `postgresql://basemeter_functions:p%40ss@${host}/postgres${more}` });
const CA = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----';

test('without BASEMETER_DB_URL there is no pool', () => {
  expect(settings({})).toBeUndefined();
  expect(settings({ URL: ' ', MAX: '3' })).toBeUndefined();
});

test('the URL is read as it is written, and the rest has defaults', () => {
  expect(settings(url('127.0.0.1:6000'))).toEqual({
    ...{ host: '127.0.0.1', port: 6000, database: 'postgres', user: 'basemeter_functions', password: 'p@ss' },
    ...{ tls: false, prepare: true, min: 0, max: 4 },
    ...{ idle: 30_000, acquire: 3_000, recycle: 1_800_000, statement: 8_000 },
  });
  expect(settings({ ...url('localhost'), MIN: '1', MAX: '2', ACQUIRE_SECONDS: '0.5' })).toMatchObject({
    ...{ port: 5432, min: 1, max: 2, acquire: 500 },
  });
});

test.each(['127.0.0.1', '127.8.0.1:5432', '[::1]:5432', 'localhost'])('%s is this machine: no TLS', (host) => {
  expect(settings(url(host))?.tls).toBe(false);
});

test.each(['db.example.com', '10.0.0.1', '[fd00::1]', 'localhost.example.com', '127.0.0.1.example.com'])(
  '%s has to prove who it is, whatever the URL says',
  (host) => {
    expect(settings(url(host, '?sslmode=disable'))?.tls).toEqual({ rejectUnauthorized: true, ca: undefined });
    expect(settings({ ...url(host), CA })?.tls).toEqual({ rejectUnauthorized: true, ca: CA });
  },
);

test('nothing is prepared behind a transaction pooler', () => {
  expect(settings(url('pooler.example.com:6543'))?.prepare).toBe(false);
  expect(settings(url('127.0.0.1:6432', '?pgbouncer=true'))?.prepare).toBe(false);
  expect(settings(url('pooler.example.com:5432'))?.prepare).toBe(true);
});

test.each<[string, Record<string, string>]>([
  ['URL', { URL: 'https://secret-word@example.com' }],
  ['URL', { URL: 'postgresql://secret-word@127.0.0.1/postgres' }],
  ['URL', { URL: 'postgresql://user:secret-word@127.0.0.1' }],
  ['MAX', { ...url('127.0.0.1'), MAX: '0' }],
  ['MIN', { ...url('127.0.0.1'), MIN: '5' }],
  ['IDLE_SECONDS', { ...url('127.0.0.1'), IDLE_SECONDS: 'secret-word' }],
  ['CA', { ...url('127.0.0.1'), CA: 'secret-word' }],
])('an invalid BASEMETER_DB_%s is named, without its value', (name, variables) => {
  const read = () => settings(variables);
  expect(read).toThrow(new RegExp(`^BASEMETER_DB_${name} is invalid: `));
  expect(read).not.toThrow(/secret-word/);
});
