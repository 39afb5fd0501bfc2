/** `npm run smoke`: whether a deployed project answers, charges and refuses, with an account that is deleted afterwards. */
import { randomUUID } from 'node:crypto';
import { StackError } from '@basemeter/local-supabase';

type Answer = { status: number; headers: Headers; body: Record<string, unknown> };

/**
 * Runs the steps against the project of `API_URL`, `PUBLISHABLE_KEY` and `SECRET_KEY`, with the model that the first
 * argument names. Exit code 1 at the first step that does not answer as it should.
 */
export async function run([model]: string[]): Promise<number> {
  const { API_URL: url, PUBLISHABLE_KEY: publishable, SECRET_KEY: secret } = process.env;
  if (!url || !publishable || !secret || !model)
    throw new StackError('Usage: API_URL=… PUBLISHABLE_KEY=… SECRET_KEY=… npm run smoke -- <a chat model>');
  const ask = async (method: string, path: string, headers: Record<string, string>, body?: object): Promise<Answer> => {
    const init = { method, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) };
    const response = await fetch(`${url.replace(/\/+$/, '')}${path}`, init);
    const text = await response.text();
    try {
      return { status: response.status, headers: response.headers, body: JSON.parse(text || '{}') };
    } catch {
      throw new StackError(`${method} ${path} answered ${response.status} and no JSON: ${text.slice(0, 200)}`);
    }
  };
  const asProject = { apikey: secret };
  const call = (token: string) =>
    ask(
      'POST',
      '/functions/v1/ai/v1/chat/completions',
      { authorization: `Bearer ${token}` },
      {
        model,
        messages: [{ role: 'user', content: 'Say hello.' }],
      },
    );
  const move = (name: string, args: object) => ask('POST', `/rest/v1/rpc/${name}`, asProject, args);

  const email = `smoke-${randomUUID()}@example.com`;
  const password = randomUUID();
  const made = await ask('POST', '/auth/v1/admin/users', asProject, { email, password, email_confirm: true });
  expectThat('an account is made', made.status === 200, made);
  const user_id = String(made.body.id);
  try {
    const signedIn = await ask(
      'POST',
      '/auth/v1/token?grant_type=password',
      { apikey: publishable },
      { email, password },
    );
    expectThat('it signs in', signedIn.status === 200, signedIn);
    const token = String(signedIn.body.access_token);
    const given = await move('credit_user_credits_transaction', { user_id, amount: 5, reason: 'manual' });
    expectThat('credits are granted', given.status === 200, given);
    const stranger = await call('sk-of-nobody');
    expectThat('a wrong API key is refused', stranger.status === 401, stranger);
    const answered = await call(token);
    expectThat('an AI call is answered', answered.status === 200, answered);
    expectThat('and charged', Number(answered.headers.get('x-credits-charged')) > 0, answered);
    const left = Number(answered.headers.get('x-credits-available'));
    const spent = await move('debit_user_credits_transaction', { user_id, amount: left, reason: 'manual' });
    expectThat('the ledger agrees with the header', Number(spent.body.credits_available) === 0, spent);
    const refused = await call(token);
    expectThat('without credits a call is refused', refused.status === 402, refused);
    const plans = await ask('GET', '/functions/v1/billing/plans', { apikey: publishable });
    expectThat('plans are listed', plans.status === 200, plans);
    const drift = await move('verify_credits', { workspace_id: user_id });
    expectThat(
      'the balance agrees with the ledger',
      drift.status === 200 && JSON.stringify(drift.body) === '[]',
      drift,
    );
  } catch (error) {
    if (!(error instanceof StackError)) throw error;
    console.error(error.message);
    return 1;
  } finally {
    await ask('DELETE', `/auth/v1/admin/users/${user_id}`, asProject, {});
  }
  return 0;
}

function expectThat(what: string, holds: boolean, { status, body }: Answer): void {
  if (!holds) throw new StackError(`✗ ${what}: ${status} ${JSON.stringify(body).slice(0, 500)}`);
  console.log(`✓ ${what}`);
}
