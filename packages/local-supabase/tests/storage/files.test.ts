import { randomBytes, randomUUID } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { anonClient, env, newUser, serviceClient, sql, type TestUser } from '../support/stack.ts';
import { newBucket, rawRequest } from './helpers.ts';

let bucket: string;
let owner: TestUser;
const service = serviceClient();
const mine = (name = `${randomUUID()}.mp4`) => `${owner.id}/${name}`;
const files = () => owner.client.storage.from(bucket);

beforeAll(async () => {
  bucket = await newBucket();
  owner = await newUser();
});

test('what is uploaded comes back byte for byte, with its type, as a Buffer, a Blob or a text', async () => {
  const bytes = randomBytes(70_000);
  for (const [body, contentType] of [
    [bytes, 'video/mp4'],
    [new Blob([bytes], { type: 'image/png' }), 'image/png'],
    [bytes.toString('hex'), 'text/plain'],
  ] as const) {
    const path = mine('a folder/film (1).bin');
    const { data, error } = await files().upload(path, body, { contentType, upsert: true });
    expect({ data, error }).toMatchObject({ data: { path, fullPath: `${bucket}/${path}` }, error: null });
    expect(data?.id).toMatch(/^[0-9a-f-]{36}$/);
    const down = await files().download(path);
    expect(down.error).toBeNull();
    expect(down.data?.type).toMatch(contentType);
    const expected = typeof body === 'string' ? Buffer.from(body) : bytes;
    expect(Buffer.from((await down.data?.arrayBuffer()) ?? new ArrayBuffer(0)).equals(expected)).toBe(true);
  }
});

test('a large upload is streamed to disk and back without being held in memory', async () => {
  const chunk = new Uint8Array(65_536).fill(7);
  const chunks = 640; // 40 MiB
  const before = process.memoryUsage().arrayBuffers;
  let sent = 0;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (sent === chunks) controller.close();
        else controller.enqueue(chunk);
        sent = Math.min(sent + 1, chunks);
      },
    },
    { highWaterMark: 0 },
  );
  const path = mine();
  const up = await files().upload(path, body, { contentType: 'video/mp4', duplex: 'half' });
  expect(up.error).toBeNull();
  const { data } = await files().createSignedUrl(path, 60);
  const answer = await fetch(data?.signedUrl ?? '');
  expect(answer.headers.get('content-length')).toBe(String(chunks * chunk.length));
  let received = 0;
  for await (const part of answer.body ?? []) received += part.byteLength;
  expect(received).toBe(chunks * chunk.length);
  expect((await files().info(path)).data?.size).toBe(received);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(chunks * chunk.length);
});

test('an upload that its sender breaks off leaves neither a row nor a file', async () => {
  const path = mine();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      controller.enqueue(randomBytes(1000));
      throw new Error('the sender is gone');
    },
  });
  const { error } = await files().upload(path, body, { contentType: 'video/mp4' });
  expect(error).not.toBeNull();
  expect((await service.storage.from(bucket).exists(path)).data).toBe(false);
});

test('a second upload under the name is a duplicate, unless it is to replace the first', async () => {
  const path = mine();
  expect((await files().upload(path, 'one')).error).toBeNull();
  const again = await files().upload(path, 'two');
  expect(again.error).toMatchObject({ status: 400, statusCode: '409', message: 'The resource already exists' });
  expect(await (await files().download(path)).data?.text()).toBe('one');
  expect((await files().upload(path, 'three', { upsert: true })).error).toBeNull();
  expect(await (await files().download(path)).data?.text()).toBe('three');
  expect((await files().update(path, 'four')).error).toBeNull();
  expect(await (await files().download(path)).data?.text()).toBe('four');
  expect((await files().update(mine(), 'five')).error).toMatchObject({ statusCode: '404' });
});

test('of many uploads of one name at once, one wins; replacing each other leaves one of them whole', async () => {
  const path = mine();
  const firsts = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((text) => files().upload(path, text)));
  expect(firsts.filter(({ error }) => !error)).toHaveLength(1);
  const texts = ['f', 'g', 'h', 'i', 'j'].map((letter) => letter.repeat(10_000));
  const seconds = await Promise.all(texts.map((text) => files().upload(path, text, { upsert: true })));
  expect(seconds.map(({ error }) => error)).toEqual([null, null, null, null, null]);
  expect(texts).toContain(await (await files().download(path)).data?.text());
});

test('info, exists and metadata tell of a file', async () => {
  const path = mine();
  await files().upload(path, Buffer.from('12345'), {
    contentType: 'video/mp4',
    cacheControl: '60',
    metadata: { job: 'ä' },
  });
  expect((await files().info(path)).data).toMatchObject({
    name: path,
    bucketId: bucket,
    size: 5,
    contentType: 'video/mp4',
    cacheControl: 'max-age=60',
    metadata: { job: 'ä' },
  });
  expect((await files().exists(path)).data).toBe(true);
  expect((await files().exists(mine())).data).toBe(false);
  expect((await files().info(mine())).error).toMatchObject({ status: 400, statusCode: '404' });
});

test('list shows one folder, its folders with no id, in the order and part asked for', async () => {
  const folder = mine('list');
  for (const name of ['b.mp4', 'a.mp4', 'c%_.mp4', 'deep/x.mp4', 'deep/y.mp4']) {
    // What Storage refuses as a name can't be listed either.
    await files().upload(`${folder}/${name}`, name);
  }
  const names = async (options?: object) =>
    (await files().list(folder, options)).data?.map(({ name, id }) => (id ? name : `${name}/`));
  expect(await names()).toEqual(['a.mp4', 'b.mp4', 'deep/']);
  expect(await names({ sortBy: { column: 'name', order: 'desc' }, limit: 2 })).toEqual(['deep/', 'b.mp4']);
  expect(await names({ offset: 1, limit: 1 })).toEqual(['b.mp4']);
  expect(await names({ search: 'B' })).toEqual(['b.mp4']);
  expect(await names({ search: '%' })).toEqual([]);
  expect((await files().list(`${folder}/deep`)).data?.map(({ name }) => name)).toEqual(['x.mp4', 'y.mp4']);
  expect((await files().list(folder, { sortBy: { column: 'name; drop' } })).error).toMatchObject({ status: 400 });
});

test('remove takes the row and the bytes, and says which it took', async () => {
  const [one, two] = [mine(), mine()];
  await files().upload(one, 'x');
  await files().upload(two, 'y');
  const { data } = await files().createSignedUrl(one, 60);
  const removed = await files().remove([one, mine('no such file')]);
  expect(removed.data?.map(({ name }) => name)).toEqual([one]);
  expect((await files().download(one)).error).toMatchObject({ status: 400 });
  expect((await fetch(data?.signedUrl ?? '')).status).toBe(400);
  expect((await files().exists(two)).data).toBe(true);
  expect(await sql('select from storage.objects where name = $1', [one])).toEqual([]);
});

test('a signed URL gives the file to whoever has it, until it ends', async () => {
  const path = mine('my film.mp4');
  await files().upload(path, '0123456789', { contentType: 'video/mp4' });
  const signed = await files().createSignedUrl(path, 60, { download: 'film 1.mp4' });
  const answer = await fetch(signed.data?.signedUrl ?? '');
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toBe('video/mp4');
  expect(answer.headers.get('content-disposition')).toContain("filename*=UTF-8''film%201.mp4");
  expect(await answer.text()).toBe('0123456789');

  const brief = await files().createSignedUrl(path, 1);
  await expect
    .poll(async () => (await fetch(brief.data?.signedUrl ?? '')).status, { timeout: 5_000, interval: 100 })
    .toBe(400);
  expect(await (await fetch(brief.data?.signedUrl ?? '')).json()).toEqual({
    statusCode: '400',
    error: 'InvalidJWT',
    message: '"exp" claim timestamp check failed',
  });
});

test('parts of a file can be asked for, as players do', async () => {
  const path = mine();
  await files().upload(path, '0123456789', { contentType: 'video/mp4' });
  const url = (await files().createSignedUrl(path, 60)).data?.signedUrl ?? '';
  const part = async (range: string) => {
    const answer = await fetch(url, { headers: { range } });
    return [answer.status, answer.headers.get('content-range'), await answer.text()];
  };
  expect(await part('bytes=2-4')).toEqual([206, 'bytes 2-4/10', '234']);
  expect(await part('bytes=7-')).toEqual([206, 'bytes 7-9/10', '789']);
  expect(await part('bytes=-2')).toEqual([206, 'bytes 8-9/10', '89']);
  expect(await part('bytes=0-99')).toEqual([206, 'bytes 0-9/10', '0123456789']);
  expect((await part('bytes=20-30'))[0]).toBe(400);
  expect((await part('bytes=0-1,3-4'))[0]).toBe(200);
});

test('a signed URL of one file opens no other, nor does a token that is none of ours', async () => {
  const [path, other] = [mine(), mine()];
  await files().upload(path, 'one');
  await files().upload(other, 'two');
  const url = new URL((await files().createSignedUrl(path, 60)).data?.signedUrl ?? '');
  const token = url.searchParams.get('token') ?? '';
  const [head = '', , signature = ''] = token.split('.');
  const payload = Buffer.from(JSON.stringify({ url: `${bucket}/${other}`, exp: 4_000_000_000 })).toString('base64url');
  const unsigned = Buffer.from('{"alg":"none"}').toString('base64url');
  for (const forged of [
    token,
    '',
    'x',
    env.ANON_KEY,
    env.SERVICE_ROLE_KEY,
    owner.accessToken,
    `${head}.${payload}.${signature}`,
    `${unsigned}.${payload}.`,
  ]) {
    const answer = await fetch(`${env.API_URL}/storage/v1/object/sign/${bucket}/${other}?token=${forged}`);
    expect([answer.status, await answer.text()]).toEqual([400, expect.not.stringContaining('two')]);
  }
  expect((await fetch(`${env.API_URL}/storage/v1/object/sign/${bucket}/${other}`)).status).toBe(400);
  expect((await files().createSignedUrl(path, 0)).error).toMatchObject({ status: 400 });
});

test('several URLs at once: one for each file that the caller may read', async () => {
  const path = mine();
  await files().upload(path, 'one');
  const { data } = await files().createSignedUrls([path, 'elsewhere/x.mp4'], 60);
  expect(data?.map(({ path, error, signedUrl }) => [path, error, signedUrl === null])).toEqual([
    [path, null, false],
    ['elsewhere/x.mp4', 'Either the object does not exist or you do not have access to it', true],
  ]);
  expect(await (await fetch(data?.[0]?.signedUrl ?? '')).text()).toBe('one');
});

test.each(['..', '../x', 'a/../../x', 'a//b', 'a/', '%00', 'ä.mp4', 'a\\b', 'x'.repeat(2000)])(
  'the name %j is refused, however it is written',
  async (name) => {
    const headers = { authorization: `Bearer ${env.SERVICE_ROLE_KEY}` };
    for (const written of [encodeURI(name).replaceAll('%25', '%'), encodeURIComponent(name).replaceAll('.', '%2e')]) {
      for (const method of ['POST', 'PUT', 'GET', 'DELETE']) {
        const answer = await rawRequest(method, `/object/${bucket}/${written}`, headers, method === 'POST' ? 'x' : '');
        expect([method, written, answer.status]).toEqual([
          method,
          written,
          expect.toSatisfy((s) => s >= 400 && s < 500),
        ]);
      }
    }
    expect(
      await sql('select name from storage.objects where bucket_id = $1 and not name ^@ $2', [bucket, owner.id]),
    ).toEqual([]);
  },
);

test('pages of any origin may upload and read; what the stand-in lacks it says', async () => {
  const preflight = await fetch(`${env.API_URL}/storage/v1/object/${bucket}/x`, {
    method: 'OPTIONS',
    headers: { origin: 'https://app.example.test', 'access-control-request-headers': 'x-upsert, authorization' },
  });
  expect(preflight.headers.get('access-control-allow-headers')).toContain('x-upsert');
  const status = await fetch(`${env.API_URL}/storage/v1/status`);
  expect(status.headers.get('access-control-allow-origin')).toBe('*');
  expect(await status.json()).toMatchObject({ name: 'local-supabase storage stand-in' });
  expect((await files().move('a', 'b')).error?.message).toMatch(/not part of the local storage stand-in/);
  expect((await files().copy('a', 'b')).error?.message).toMatch(/not part of the local storage stand-in/);
  expect((await anonClient().storage.from(bucket).list()).data).toEqual([]);
});
