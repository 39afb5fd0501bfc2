/** Every function of schema public, as everyone, against the lines of functions.md. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { expect, test } from 'vitest';
import { isOurs } from '../support/ours.ts';
import { sql } from '../support/stack.ts';
import { linesOf } from './lines.ts';
import { ACTORS, type Actor, inWorld, roleOf, tryAs, type World } from './people.ts';

type Right = { name: string; anon: boolean; authenticated: boolean; service_role: boolean };

const rights = (
  await sql<Right>(`
  select p.proname as name, has_function_privilege('anon', p.oid, 'execute') as anon,
    has_function_privilege('authenticated', p.oid, 'execute') as authenticated,
    has_function_privilege('service_role', p.oid, 'execute') as service_role
  from pg_proc p
  where p.pronamespace = 'public'::regnamespace
    and not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
  order by 1`)
).filter(isOurs);

/** A line of functions.md: its call, and what it means for each actor. */
type Line = Record<string, string> & { call: string };

const lines = linesOf('functions.md', 'call') as Line[];
const nameOf = ({ call }: Line): string => call.split('(')[0] ?? '';
const isCalled = ({ call }: Line): boolean => call.includes('(');

test('every function has its lines, and every line its function', () => {
  const there = rights.map(({ name }) => name);
  const ofPeople = rights.filter(({ anon, authenticated }) => anon || authenticated).map(({ name }) => name);
  const written = lines.map(({ call }) => call);
  const found = {
    'functions of one name': there.filter((name, index) => there.indexOf(name) !== index),
    'functions without a line in tests/access/functions.md': there.filter((name) => !lines.map(nameOf).includes(name)),
    'lines of tests/access/functions.md without a function or written twice': written.filter(
      (call, index) => !there.includes(nameOf(lines[index] as Line)) || written.indexOf(call) !== index,
    ),
    'functions that people may execute without a call in tests/access/functions.md': lines
      .filter((line) => ofPeople.includes(nameOf(line)) && !isCalled(line))
      .map(nameOf),
  };
  expect(found).toEqual(Object.fromEntries(Object.keys(found).map((name) => [name, []])));
});

test.each(rights)('$name is open to whom its lines say', async (right) => {
  const should: Record<string, string> = {};
  const is: Record<string, string> = {};
  await inWorld(async (world) => {
    const things = right.anon || right.authenticated ? await makeThings(world) : {};
    for (const line of lines.filter((of) => nameOf(of) === right.name)) {
      for (const actor of ACTORS) {
        const cell = `${line.call} as ${actor}`;
        should[cell] = line[actor] ?? '';
        is[cell] = right[roleOf(actor)] ? await outcomeOf(world, actor, line, things) : '-';
      }
      if (line['platform admin'] !== 'may' || line.stranger === 'may') continue;
      const disabled = `update public.users set is_active = false where id = ${things['platform admin']}`;
      const cell = `${line.call} as a disabled admin`;
      should[cell] = 'refused';
      is[cell] = await outcomeOf(world, 'platform admin', line, things, disabled);
    }
  });
  expect(is).toEqual(should);
});

/** What calls are about, by the names that functions.md gives them, as literals of SQL. */
async function makeThings(world: World): Promise<Record<string, string>> {
  const things: Record<string, string> = { team: pg.escapeLiteral(world.team) };
  for (const [name, id] of Object.entries(world.people)) things[name] = pg.escapeLiteral(id);
  for (const name of [
    'key',
    'request',
    'invitation',
    'product',
    'model',
    'dispute',
    'unmatched',
    'conversation',
    'session',
    'document',
    'recording',
  ])
    things[name] = pg.escapeLiteral(randomUUID());
  const results = await world.client.query<{ id: string }>(
    fill(
      `insert into public.api_keys (id, workspace_id, user_id, name, prefix) values (:key, :team, :member, 'a key', 'sk-');
       insert into auth.sessions (id, user_id) values (:session, :member);
       insert into public.user_sessions (id, user_id) values (:session, :member);
       insert into private.ai_usage_logs (workspace_id, user_id, scene, status, model, request_id, created_at)
       values (:team, :member, 'text_chat', 'success', 'a model', :request, '2020-01-01');
       insert into public.credit_transactions
         (workspace_id, user_id, created_at, transaction_type, is_overdraft, amount, balance_after, reason, grant_changes)
       values (:team, :member, now(), 'credit', false, 1, 1, 'manual', '{}');
       insert into public.workspace_invitations (id, workspace_id, email, role, expires_at)
       select :invitation, :team, email, 'member', now() + interval '1 day' from auth.users where id = :stranger;
       insert into private.invitation_hashes (token_hash, invitation_id)
       values (extensions.digest('a token', 'sha256'), :invitation);
       insert into public.payment_products (id, platform, product_id, price_id, name, credits, amount, currency)
       values (:product, 'stripe', 'a pack', 'a price', 'A pack', 1, 1, 'USD');
       insert into public.ai_models (model, display_name, upstream_model, max_output_tokens)
       values (:model, 'A model', 'a-model', 1);
       insert into public.unmatched_payment_emails (id, platform, customer_id, event_id)
       values (:unmatched, 'creem', 'access', 'evt');
       insert into public.conversations (id, workspace_id, user_id) values (:conversation, :team, :member);
       insert into public.messages (conversation_id, content) values (:conversation, 'a question');
       insert into public.rag_documents (id, workspace_id, title, source, content, content_hash, chunk_count)
       values (:document, :team, 'a document', 'a document', 'a passage', 'a hash', 1);
       insert into public.rag_chunks (workspace_id, document_id, position, start_character, end_character, content, content_hash)
       values (:team, :document, 1, 0, 9, 'a passage', 'a hash');
       insert into public.sessions (id, workspace_id, user_id, client_id) values (:recording, :team, :member, 'a session');
       insert into public.session_usage (session_id, workspace_id, user_id, analysis_count, request_count, red_count)
       values (:recording, :team, :member, 1, 1, 1);
       insert into public.session_analysis_logs (session_id, sequence_number, workspace_id, user_id, analyzed_at, safety_level,
         severity, display_text, model_used)
       values (:recording, 1, :team, :member, now(), 'red', 3, 'a text', 'a model');
       insert into public.payment_events (platform, event_id, event_type, occurred_at, applied_at, facts)
       values ('creem', :dispute, 'a.type', now(), now(), jsonb_build_object('rank', 0, 'reversal',
         jsonb_build_object('id', :dispute, 'kind', 'dispute', 'status', 'open', 'amount', 1, 'currency', 'USD')))
       returning id`,
      things,
    ),
  );
  // One result for each statement, which the types do not know.
  const event = (results as unknown as pg.QueryResult<{ id: string }>[]).at(-1)?.rows[0]?.id;
  return { ...things, event: String(event) };
}

function fill(statement: string, things: Record<string, string>): string {
  return statement.replaceAll(/(?<!:):([a-z]+)/g, (_, name: string) => {
    const thing = things[name];
    if (!thing) throw new Error(`tests/access/functions.md names :${name}, which the test does not make.`);
    return thing;
  });
}

async function outcomeOf(
  world: World,
  actor: Actor,
  line: Line,
  things: Record<string, string>,
  before = '',
): Promise<string> {
  if (!isCalled(line)) return 'may';
  const tried = await tryAs(world, actor, `select public.${fill(line.call, things)}`, before);
  if ('rows' in tried) return tried.rows.length ? 'may' : 'refused';
  if (['PT401', 'PT403', 'PT404'].includes(tried.code)) return 'refused';
  // Codes of ours; anything else is a call that cannot be made, or a right missing further in.
  return /^PT4|^PGRST$/.test(tried.code) ? 'may' : `${tried.code} ${tried.message}`;
}
