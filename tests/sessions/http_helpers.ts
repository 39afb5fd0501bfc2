/** What the tests of function `sessions` over HTTP share: sessions, segments, and what became of them. */
import { randomUUID } from 'node:crypto';
import { newCaller, newModel } from '../ai/helpers.ts';
import { env, sql, type TestUser } from '../support/stack.ts';

/** Whom a request is by: an access token or an API key; nobody without one. */
export type By = { accessToken: string } | { key: string } | undefined;

/** An answer of the function, parsed. */
export interface Answer {
  status: number;
  headers: Headers;
  session: Record<string, unknown> & { id: string; status: string };
  usage: Record<string, unknown>;
  analysis: Analysis;
  seconds_left: number | null;
  credits_left: number | null;
  warning: boolean;
  error: { code: string; message: string; param: string | null; request_id: string };
  body: Record<string, unknown>;
}

/** An analysis as the API shows it. */
export interface Analysis {
  sequence_number: number;
  safety_level: string;
  severity: number;
  display_text: string;
  action_suggestion: string | null;
  rag_documents: Record<string, unknown>[];
  rag_sources: Record<string, unknown>[];
  duration_seconds: number;
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  cached_tokens: number;
  estimated_cost_usd: number;
}

/** A request to function `sessions`; `path` stands below it. A text is sent as it is. */
export async function call(
  by: By,
  method: string,
  path = '',
  body?: object | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const token = by && ('key' in by ? by.key : by.accessToken);
  const response = await fetch(`${env.FUNCTIONS_URL}/sessions${path}`, {
    method,
    body: typeof body === 'object' ? JSON.stringify(body) : body,
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      'content-type': 'application/json',
      ...headers,
    },
  });
  const parsed = (await response.json()) as Answer;
  return { ...parsed, status: response.status, headers: response.headers, body: parsed as never };
}

/** Its status and code, as `402 insufficient_credits`; of a success its status alone. */
export const outcome = ({ status, error }: Answer) => (error ? `${status} ${error.code}` : `${status}`);

/** A person with credits who has paid once, so that sessions start softly, unless a test has another wish. */
export async function newSpeaker(credits = 1000): Promise<TestUser> {
  const user = await newCaller();
  await sql(`select public.credit_user_credits_transaction($1, $2, 'purchase')`, [user.id, credits]);
  return user;
}

/** Starts a session of a person's; returns its id. */
export async function start(by: By, body: object = {}, headers: Record<string, string> = {}): Promise<string> {
  const answer = await call(by, 'POST', '', { client_id: randomUUID(), ...body }, headers);
  if (answer.status !== 201) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.session.id;
}

/** Has a segment analysed. */
export function analyse(by: By, session: string, sequence: number, model: string, segment: object = {}) {
  return call(by, 'POST', `/${session}/analyze-partial`, {
    ...{ sequence, model, transcript_segment: `Segment ${sequence}.`, duration_seconds: 10 },
    ...segment,
  });
}

/** A segment that makes the simulator behave as the directive says. */
export const says = (directive: object, text = 'We talk.') => `${text} [[simulate:${JSON.stringify(directive)}]]`;

/** A model whose every answer goes as the directive says. */
export const newSteeredModel = (directive: object, row: object = {}) =>
  newModel({ upstream_model: `simulator-chat[[simulate:${JSON.stringify(directive)}]]`, ...row });

/** All that is booked of a session: its rows, its entries, its row of the log, its wallet's drift. */
export async function bookedOf(session: string) {
  const [row] = await sql(
    `select s.status::text, u.credit_deducted, u.credits_consumed::float8 as consumed, u.analysis_count as analyses,
       u.duration_seconds::float8 as duration, u.total_prompt_tokens::float8 as prompt,
       u.total_completion_tokens::float8 as completion, u.total_cached_tokens::float8 as cached,
       u.estimated_cost_usd::float8 as cost, u.tail_seconds::float8 as tail,
       (select count(*)::int from public.verify_credits(s.workspace_id)) as drift
     from public.sessions s join public.session_usage u on u.session_id = s.id where s.id = $1`,
    [session],
  );
  const [logs] = await sql(
    `select count(*)::int as analyses, coalesce(sum(duration_seconds), 0)::float8 as duration,
       coalesce(sum(prompt_tokens), 0)::float8 as prompt, coalesce(sum(completion_tokens), 0)::float8 as completion,
       coalesce(sum(cached_tokens), 0)::float8 as cached, coalesce(sum(estimated_cost_usd), 0)::float8 as cost
     from public.session_analysis_logs where session_id = $1`,
    [session],
  );
  return { row, logs };
}

/** The entries of a workspace that sessions made. */
export const feesOf = (workspace: string) =>
  sql<{ amount: number }>(
    `select amount::float8 from public.credit_transactions
     where workspace_id = $1 and reason = 'session_fee' and transaction_type = 'debit' and amount <> 0 order by id`,
    [workspace],
  );

/** The holds of a workspace that are open: of its sessions under way and their calls. */
export const openHoldsOf = (user: { id: string }) =>
  sql(`select id from private.credit_holds where workspace_id = $1 and state = 'open'`, [user.id]);
