/** The largest picture that is taken, in a process with little memory: hosted functions have not much more. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const functions = new URL('../../supabase/functions/', import.meta.url).href;

/** One process for both: it takes longer to start than they do. */
const SCRIPT = `
  const { readJobRequest } = await import('${functions}video/request.ts');
  const { createOpenAi } = await import('${functions}_shared/video/openai.ts');
  const png = Buffer.alloc(10 * 1024 * 1024, 7);
  png.write('89504e470d0a1a0a', 'hex');
  const image = 'data:image/png;base64,' + png.toString('base64');

  const body = JSON.stringify({ model: 'm', prompt: 'p', image });
  const { request } = await readJobRequest(new Request('http://x', { method: 'POST', body }));
  console.log('read from JSON:', request.image === image);

  const client = {
    call: async ({ body }) => {
      const bytes = Buffer.from(await body.get('input_reference').arrayBuffer());
      console.log('sent to OpenAI:', bytes.equals(png));
      return { status: 200, body: { id: 'v1', status: 'queued' } };
    },
  };
  await createOpenAi(client, 'http://x').submit({ model: 'm', prompt: 'p', image, webhookUrl: 'http://x' });`;

test('is read from JSON, and becomes a file for OpenAI', async () => {
  const flags = ['--max-old-space-size=100', '--import', 'tsx', '--input-type=module'];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, '--eval', SCRIPT]);
  expect(stdout).toBe('read from JSON: true\nsent to OpenAI: true\n');
});
