/** An account that has used everything: a row of each table that leads to one. */
import { randomInt, randomUUID } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import { adminPool, sql } from './stack.ts';
import { offerVideos } from './videos.ts';

/** Who uses everything; `mark` is in all that they write and are called, `ip` is where their calls come from. */
export type Person = { id: string; mark: string; ip: string };

type Models = { model: string; videoModel: string };

/** Offers models for the tests of this file; what it returns has an account use everything. */
export function everything(): (id: string) => Promise<Person> {
  const model = `everything-${randomUUID()}`;
  const videoModel = `${model}-video`;
  beforeAll(async () => {
    await adminPool.query(
      `insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ($1, 'Everything', 'everything', 1000)`,
      [model],
    );
    await adminPool.query(`select private.set_model_price($1, '{"input": 0, "output": 10}', '2020-01-01')`, [model]);
    await offerVideos(videoModel);
  });
  afterAll(async () => {
    await adminPool.query('delete from public.ai_models where model = any ($1)', [[model, videoModel]]);
  });
  return async (id) => {
    const mark = `mark-${randomUUID()}`;
    const person = {
      id,
      mark,
      ip: `2001:db8:${Array.from({ length: 6 }, () => randomInt(0x1000, 0x10000).toString(16)).join(':')}`,
    };
    await useEverything(person, { model, videoModel });
    return person;
  };
}

/** Everything an account can have: entries of all kinds, holds, calls that ended, were refused and are under way. */
async function useEverything(person: Person, { model, videoModel }: Models): Promise<void> {
  const { id: account, mark, ip } = person;
  await sql(
    `update public.users set full_name = $2::text, phone = left($2::text, 40), avatar_url = 'https://x.test/' || $2::text where id = $1`,
    [account, mark],
  );
  await sql(`update public.workspaces set name = $2 where id = $1`, [account, mark]);
  await adminPool.query(
    `insert into private.account_failures (user_id, error_code, message) values ($1, 'XX000', 'a test')`,
    [account],
  );
  await sql(`insert into public.api_keys (workspace_id, user_id, name, prefix) values ($1, $1, $2, 'sk-')`, [
    account,
    mark,
  ]);
  const details = { ip_address: ip, user_agent: mark, request_data: { text: mark }, scene_description: mark };
  await sql(
    `select public.debit_user_credits_transaction($1, 5, 'generation', idempotency_key => 'a', description => $3,
              metadata => jsonb_build_object('text', $3::text)),
            public.refund_user_credits($1, 2, 'refund'),
            public.hold_credits($1, 3, 'generation'),
            public.finish_ai_call((public.admit_ai_call($1, $2, 10, details => $4) ->> 'hold_id')::uuid, 'success', 10, 0, 20),
            public.admit_ai_call($1, 'no-such-model', 10), public.admit_ai_call($1, $2, 10),
            public.admit_ai_call($1, $2, 10, idempotency_key => 'a'),
            public.consume_feature('message', 1, $1)`,
    [account, model, mark, details],
  );
  await sql(`insert into public.workspace_features (workspace_id, feature_code, reason) values ($1, 'message', $2)`, [
    account,
    mark,
  ]);
  await makeVideos(person, videoModel);
  await payForIt(person);
  await workInATeam(person);
  await setAlerts(account);
  await signInAndTalk(person);
  await loadDocument(person);
  await holdASession(person, model);
}

/** A session at a rate of its own, with an analysis and a transcript. */
async function holdASession({ id: account, mark, ip }: Person, model: string): Promise<void> {
  const details = { ip_address: ip, user_agent: mark, request_data: { text: mark } };
  await sql(
    `select public.set_credit_rate('[{"unit": "minute", "credits": 1}]', $1), public.credit_user_credits_transaction($1, 10, 'manual')`,
    [account],
  );
  const [started] = await sql<{ id: string }>(
    `select public.start_session($1, $2, $2, metadata => jsonb_build_object('text', $2::text), details => $3) #>> '{session,id}' as id`,
    [account, mark, details],
  );
  const verdict = { safety_level: 'red', severity: 3, display_text: mark, action_suggestion: mark };
  await sql(
    `select public.finish_session_analysis((public.admit_session_analysis($1, $2, 1, 'a hash', '{"characters": 5}', $3, 10, 10, details => $4)
       ->> 'hold_id')::uuid, 'success', 10, 0, 10, $5)`,
    [started?.id, account, model, details, { ...verdict, rag_documents: [mark], rag_sources: [{ quote: mark }] }],
  );
  await sql(`select public.complete_session($1, $2, $3)`, [started?.id, account, mark]);
}

/** A video that is there and one that is being made. */
async function makeVideos({ id: account, mark }: Person, videoModel: string): Promise<void> {
  const make = `(public.create_video_job($1, $2, $3) #>> '{job,id}')::uuid`;
  await sql(
    `select public.update_video_job(${make}, jsonb_build_object('job_id', 'task of ' || $3::text, 'status', 'completed',
       'result_url', 'https://result.test/a'), '{}')`,
    [account, videoModel, mark],
  );
  await sql(`select ${make}`, [account, videoModel, mark]);
}

/** An alert, a notification and an automatic top-up. */
async function setAlerts(account: string): Promise<void> {
  await sql(`insert into public.credit_alerts (workspace_id, kind, threshold) values ($1, 'low_balance', 5)`, [
    account,
  ]);
  await sql(`insert into public.notifications (workspace_id, user_id, kind) values ($1, $1, 'low_balance')`, [account]);
  await sql(
    `with pack as (
       insert into public.payment_products (platform, product_id, name, credits, amount, currency)
       values ('creem', gen_random_uuid()::text, 'A pack', 10, 900, 'USD') returning id)
     insert into public.auto_top_ups (workspace_id, user_id, payment_product_id, amount, currency, threshold, monthly_cap)
     select $1::uuid, $1::uuid, id, 900, 'USD', 5, 1 from pack`,
    [account],
  );
}

/** A team with an invitation, which goes with the account as nobody else is in it; what is counted of invitations and teams. */
async function workInATeam({ id: account, mark }: Person): Promise<void> {
  await adminPool.query(
    `with mail as (insert into private.invitation_mails (user_id, address_hash) values ($1::uuid, 'x'))
     insert into private.deleted_free_teams (user_id, workspace_id, made_at) values ($1::uuid, gen_random_uuid(), now())`,
    [account],
  );
  await adminPool.query(
    `with team as (insert into public.workspaces (name) values ($2) returning id),
          member as (insert into public.workspace_members (workspace_id, user_id, role) select id, $1::uuid, 'owner' from team)
     insert into public.workspace_invitations (workspace_id, user_id, email, role, expires_at)
     select id, $1::uuid, 'x@example.test', 'member'::public.workspace_role, now() from team
     union all select $1::uuid, $1::uuid, $2 || '@example.test', 'member', now()`,
    [account, mark],
  );
}

/** A subscription that an admin has matched, and an address to pay with. */
async function payForIt({ id: account, mark }: Person): Promise<void> {
  const key = randomUUID();
  await sql(`insert into public.user_email_aliases (user_id, email) values ($1, $2 || '@example.test')`, [
    account,
    mark,
  ]);
  const at = new Date().toISOString();
  const facts = {
    rank: 0,
    customer: { id: `cust_${key}`, email: `${mark}@pay.test`, name: mark },
    subscription: { id: `sub_${key}`, status: 'active' },
    period: { start: at, end: at, is_paid: true },
    payment: { id: `tran_${key}`, status: 'succeeded', kind: 'subscription' },
    history: ['payment_succeeded'],
  };
  await sql(`select public.receive_payment_event('creem', $1, 'subscription.paid', now(), $3, $2)`, [
    `evt_${key}`,
    facts,
    { customer: mark },
  ]);
  await sql(
    `select public.resolve_unmatched_payment(id, $1) from public.unmatched_payment_emails where customer_id = $2`,
    [account, `cust_${key}`],
  );
  await adminPool.query(`insert into private.plan_periods values ($1, now(), now() + interval '30 days')`, [account]);
}

/** A device, and a conversation with a question. */
async function signInAndTalk({ id: account, mark, ip }: Person): Promise<void> {
  const session = randomUUID();
  await adminPool.query(`insert into auth.sessions (id, user_id, user_agent, ip) values ($1, $2, $3, $4)`, [
    session,
    account,
    mark,
    ip,
  ]);
  await sql(
    `insert into public.user_sessions (id, user_id, device_id, device_type, device_name, ip_address, user_agent)
     values ($1, $2, $3::text, 'ios', $3::text, $4, $3::text)`,
    [session, account, mark, ip],
  );
  await sql(
    `with conversation as (
       insert into public.conversations (workspace_id, user_id, title, summary, tags) values ($1::uuid, $1::uuid, $2::text, $2::text, array[$2::text]) returning id),
     attachment as (
       insert into public.attachments (workspace_id, conversation_id, name, media_type, size_bytes)
       select $1::uuid, id, $2::text, 'image/png', 1 from conversation)
     insert into public.messages (conversation_id, parts)
     select id, jsonb_build_array(jsonb_build_object('type', 'text', 'text', $2::text)) from conversation`,
    [account, mark],
  );
}

/** A document that the person loaded, with an embedded passage. */
async function loadDocument({ id: account, mark }: Person): Promise<void> {
  await sql(`select public.load_document($2, $2, workspace_id => $1)`, [account, mark]);
  await adminPool.query(
    `with loaded as (update public.rag_documents set user_id = $1 where workspace_id = $1 returning id)
     insert into private.rag_embeddings (document_id, content_hash, workspace_id, embedding_model, dimensions, embedding)
     select c.document_id, c.content_hash, c.workspace_id, 'm', 1, '{1}' from loaded l join public.rag_chunks c on c.document_id = l.id`,
    [account],
  );
}
