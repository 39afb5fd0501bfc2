/** What the tests of function `ai` share: models with prices, the official client, a user's ledger. */
import { randomUUID } from 'node:crypto';
import OpenAI from 'openai';
import { env, newUser, serviceClient, sql, type TestUser, urls } from '../support/stack.ts';

/** Where function `ai` answers. */
export const AI_URL = `${env.FUNCTIONS_URL}/ai/v1`;

/** Default prices of `newModel`: US dollars per million input, cached input and output tokens. */
const PRICES = { input: 100, cached_input: 50, output: 200 };

/** Adds a model of its own to the catalogue and returns its name. One input token costs 0.01 credits by default. */
export async function newModel(model: object = {}, prices: object = PRICES): Promise<string> {
  const name = `model-${randomUUID()}`;
  const service = serviceClient();
  const made = await service
    .from('ai_models')
    .insert({ model: name, display_name: name, upstream_model: 'simulator-chat', max_output_tokens: 50, ...model });
  if (made.error) throw made.error;
  await priceModel(name, Array.isArray(prices) ? prices : { input: 0, output: 0, ...prices }, '2020-01-01');
  return name;
}

/** Gives a model a price from a time on: US dollars of a unit, of tokens for a million, or a list of components. */
export async function priceModel(model: string, components: object, from = new Date().toISOString()): Promise<void> {
  await sql('select private.set_model_price($1, $2, $3)', [model, JSON.stringify(components), from]);
}

/** A signed-in user whose plan has no limits worth a word, and whose workspace keeps all that is said. */
export async function newCaller(): Promise<TestUser> {
  const user = await newUser();
  await sql(`update public.workspaces set plan = 'enterprise' where id = $1`, [user.id]);
  await sql(`update public.workspaces set ai_log_content = 'full' where id = $1`, [user.id]);
  return user;
}

/** Makes an API key for a user's own workspace, as the user; `limits` as `create_api_key` takes them. */
export async function newKey(user: TestUser, limits: object = {}): Promise<{ id: string; key: string }> {
  const { data, error } = await user.client.rpc('create_api_key', { name: 'test', ...limits });
  if (error) throw error;
  return data as { id: string; key: string };
}

/** Adds a provider of its own and returns its name; it is the simulator, with the row's ways. */
export async function newProvider(row: object): Promise<string> {
  const provider = `p_${randomUUID().replaceAll('-', '_')}`;
  const { error } = await serviceClient()
    .from('ai_providers')
    .insert({ provider, ...row });
  if (error) throw error;
  return provider;
}

/** What the simulator saw of the calls with a directive's `key`. */
export async function seenBySimulator(key: string) {
  const answer = await fetch(`${urls.simulator}/__simulator/requests?key=${key}`);
  return (await answer.json()) as {
    count: number;
    requests: { outcome: string; tokens_delivered: number; model: string; body: Record<string, unknown> }[];
  };
}

/** A user's statistics of all days together, as numbers. */
export async function statisticsOf(user: { id: string }) {
  const [row] = await sql(
    `select coalesce(sum(total_requests), 0)::integer as total, coalesce(sum(success_requests), 0)::integer as success,
       coalesce(sum(failed_requests), 0)::integer as failed, coalesce(sum(canceled_requests), 0)::integer as canceled,
       coalesce(sum(refused_requests), 0)::integer as refused, coalesce(sum(credits), 0)::float8 as credits
     from public.ai_usage_statistics where workspace_id = $1`,
    [user.id],
  );
  return row;
}

/** The official client as a user, or with an API key; without retries, so that a test sees each answer. */
export function openai(user: Pick<TestUser, 'accessToken'> | { key: string }): OpenAI {
  return new OpenAI({ baseURL: AI_URL, apiKey: 'key' in user ? user.key : user.accessToken, maxRetries: 0 });
}

/** A user message that makes the simulator behave as the directive says. */
export function simulate(directive: object, text = 'Hello') {
  return [{ role: 'user' as const, content: `${text} [[simulate:${JSON.stringify(directive)}]]` }];
}

/** A user's wallet, as numbers. */
export async function walletOf(user: { id: string }) {
  const [wallet] = await sql<{ balance: number; spent: number; held: number; drift: number }>(
    `select credits_balance::float8 as balance, credits_spent::float8 as spent, credits_held::float8 as held,
       (select count(*)::int from public.verify_credits($1)) as drift
     from public.credit_wallets where workspace_id = $1`,
    [user.id],
  );
  return wallet;
}

/** A user's log rows, oldest first. */
export function logsOf(user: { id: string }) {
  return sql('select * from private.ai_usage_logs where user_id = $1 order by created_at', [user.id]);
}

/** Waits until a user has so many log rows: some are written after the client has left. */
export async function untilLogged(user: { id: string }, rows: number) {
  for (let tries = 0; tries < 200; tries += 1) {
    const logs = await logsOf(user);
    if (logs.length >= rows) return logs;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no ${rows} log rows came`);
}
