/** What the tests of conversations share: conversations with a model, messages sent over HTTP, streams as text. */
import { randomUUID } from 'node:crypto';
import { createParser } from 'eventsource-parser';
import { AI_URL, newCaller } from '../ai/helpers.ts';
import { sql, type TestUser } from '../support/stack.ts';

/** A caller with credits enough for long conversations. */
export async function newRichCaller(): Promise<TestUser> {
  const user = await newCaller();
  await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual')`, [user.id]);
  return user;
}

/** Makes a conversation of a user's own, by supabase-js; with a model, where one is named. */
export async function newConversation(user: TestUser, columns: object = {}): Promise<string> {
  const { data, error } = await user.client.from('conversations').insert(columns).select('id').single();
  if (error) throw error;
  return data.id;
}

/** A request in a conversation: `path` stands below its messages, such as `/{id}/answers`. */
export function post(
  by: string | undefined,
  conversation: string,
  body: object | undefined,
  path = '',
): Promise<Response> {
  return fetch(`${AI_URL}/conversations/${conversation}/messages${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(by ? { authorization: `Bearer ${by}` } : {}) },
    body: body && JSON.stringify(body),
  });
}

/** A message that makes the simulator behave as the directive says. */
export const says = (directive: object, text = 'Hello') => `${text} [[simulate:${JSON.stringify(directive)}]]`;

/** The two messages of an answer that came whole. */
export interface Turn {
  message: Row;
  answer: Row;
}

/** A message as the tests look at it. */
export interface Row {
  id: string;
  parent_message_id: string | null;
  role: string;
  status: string;
  content: string;
  parts: { type: string; text?: string }[];
  cost: number;
  prompt_tokens: number;
  completion_tokens: number;
  content_tokens: number | null;
  error_message: string | null;
  metadata: Record<string, unknown>;
}

/** Sends a message and waits for its answer, whole. */
export async function send(user: TestUser, conversation: string, body: object, path = ''): Promise<Turn> {
  const response = await post(user.accessToken, conversation, { stream: false, ...body }, path);
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as Turn;
}

/** The text of a stream, its last event and whether it ended as streams do. */
export async function readStream(response: Response) {
  let text = '';
  let isDone = false;
  let last: Record<string, unknown> = {};
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === '[DONE]') isDone = true;
      else last = JSON.parse(data);
      const { choices } = last as { choices?: { delta?: { content?: string } }[] };
      text += (!isDone && choices?.[0]?.delta?.content) || '';
    },
  });
  parser.feed(await response.text());
  return { text, isDone, last };
}

/** What a refusal says: its status and code. */
export async function refusal(response: Response): Promise<string> {
  const { error } = (await response.json()) as { error?: { code: string } };
  return `${response.status} ${error?.code}`;
}

/** A conversation's messages, oldest first. */
export async function messagesOf(conversation: string): Promise<Row[]> {
  return sql<Row>(
    `select *, cost::float8 as cost from public.messages where conversation_id = $1 order by created_at, sequence_number`,
    [conversation],
  );
}

/** Writes a branch of so many messages of about so many words, uncounted, as an import does; returns their ids. */
export async function writeHistory(workspace: string, conversation: string, count: number, words: number) {
  const ids = Array.from({ length: count }, () => randomUUID());
  for (const [at, id] of ids.entries()) {
    await sql(
      `insert into public.messages (id, workspace_id, conversation_id, parent_message_id, role, content)
       values ($1, $2, $3, $4, $5::public.message_role, $6)`,
      [
        id,
        workspace,
        conversation,
        ids[at - 1],
        at % 2 ? 'assistant' : 'user',
        `number ${at} ${'word '.repeat(words)}`,
      ],
    );
  }
  return ids;
}

/** Waits until a message has another status than `sending`. */
export async function untilEnded(message: string): Promise<Row> {
  for (let tries = 0; tries < 200; tries += 1) {
    const [row] = await sql<Row>('select * from public.messages where id = $1', [message]);
    if (row && row.status !== 'sending') return row;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the answer did not end');
}

/** A team of a user's own. */
export async function newTeam(owner: TestUser): Promise<string> {
  const { data, error } = await owner.client.rpc('create_workspace', { name: `Team ${randomUUID()}` });
  if (error) throw error;
  return (data as { id: string }).id;
}

/** Makes somebody a member of a team. */
export async function join(team: string, user: TestUser, role = 'member'): Promise<void> {
  await sql('insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, $3)', [
    team,
    user.id,
    role,
  ]);
}
