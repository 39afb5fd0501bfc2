/**
 * A row for every table and view, for the access tests. A new table needs an entry here and four lines in tables.md.
 * Rows are written straight, by the owner of the tables; only what a constraint asks for has to be in them.
 */
import { randomInt, randomUUID } from 'node:crypto';
import type { Place } from './people.ts';

/** A table whose rows belong to workspaces or people. */
type OwnedSeed = {
  /** The column with the workspace, and that with the person whose row it is; or an expression in parentheses. */
  workspace?: string;
  person?: string;
  /** A client's delete sets deleted_at instead. */
  isHidden?: true;
  /** SQL that writes the row of a place; none where people and teams come with theirs. */
  row?: (place: Place) => string;
  /** A view's key; a table has its primary key. */
  key?: string;
};

/** A table that the platform keeps: one row on offer and one that is not, where there is such a thing. */
type SharedSeed = {
  /** SQL that writes a row; `name` is its own. */
  shared: (name: string, isOffered: boolean) => string;
  /** Finds it again: a condition with `name` in it. */
  find: (name: string) => string;
  /** Shared rows that have to be there first. */
  needs?: string;
  /** A view's key; a table has its primary key. */
  key?: string;
};

export type Seed = OwnedSeed | SharedSeed;

const owned = (table: string, columns: string, values: (place: Place) => string): OwnedSeed => ({
  workspace: 'workspace_id',
  row: (place) =>
    `insert into ${table.includes('.') ? table : `public.${table}`} (workspace_id, ${columns}) values ('${place.workspace}', ${values(place)})`,
});

/** As `owned`, with a user_id. */
const personal = (table: string, columns: string, values: (place: Place) => string): OwnedSeed => ({
  ...owned(table, `user_id, ${columns}`, (place) => `'${place.person}', ${values(place)}`),
  person: 'user_id',
});

/** SQL that writes a session and a row that belongs to it. */
const ofSession = ({ workspace, person }: Place, table: string, columns: string, values: string): string =>
  `with made as (insert into public.sessions (workspace_id, user_id, client_id)
     values ('${workspace}', '${person}', '${randomUUID()}') returning id, workspace_id, user_id)
   insert into public.${table} (session_id, workspace_id, ${columns}) select id, workspace_id, ${values} from made`;

/** As `owned`, where a workspace has one row. */
const oneEach = (table: string, columns: string, values: string): OwnedSeed =>
  owned(table, columns, () => `${values}) on conflict do nothing --`);

export const SEEDS: Record<string, Seed> = {
  users: { person: 'id' },
  user_sessions: {
    person: 'user_id',
    row: ({ person }) => `insert into public.user_sessions (id, user_id) values ('${randomUUID()}', '${person}')`,
  },
  user_statistics: { person: 'id', key: 'id' },
  workspaces: { workspace: 'id' },
  workspace_members: { workspace: 'workspace_id', person: 'user_id' },
  workspace_member_credits: { workspace: 'workspace_id', person: 'user_id', key: 'user_id' },
  spending_limits: { workspace: 'workspace_id', person: 'spender_id' },
  workspace_invitations: personal(
    'workspace_invitations',
    'email, role, expires_at',
    () => `'${randomUUID()}@example.test', 'member', now() + interval '1 day'`,
  ),

  credit_wallets: { workspace: 'workspace_id' },
  credit_grants: owned(
    'credit_grants',
    'created_at, amount, remaining, kind, is_paid, is_spent',
    () => `now(), 1, 1, 'free', false, false`,
  ),
  credit_holds: {
    ...personal(
      'private.credit_holds',
      'created_at, amount, reason, expires_at',
      () => `now(), 1, 'generation', now() + interval '1 day'`,
    ),
    key: 'id',
  },
  credit_transactions: personal(
    'credit_transactions',
    'created_at, transaction_type, is_overdraft, amount, balance_after, reason, grant_changes',
    () => `now(), 'credit', false, 1, 1, 'manual', '{}'`,
  ),

  api_keys: personal('api_keys', 'name, prefix', () => `'a key', 'sk-'`),
  ai_usage_logs: {
    ...personal('private.ai_usage_logs', 'scene, status, model', () => `'text_chat', 'success', 'a model'`),
    key: 'id',
  },
  ai_usage_statistics: {
    ...personal(
      'private.usage_by_day',
      `day, scene, model, first_call_at, last_call_at, requests, success_requests, failed_requests, canceled_requests,
       refused_requests, prompt_tokens, completion_tokens, duration, cost, credits, free_credits`,
      () => `'2020-01-01', 'text_chat', 'a model', now(), now(), 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0`,
    ),
    key: 'id',
  },
  ai_providers: {
    shared: (name) => `insert into public.ai_providers (provider) values ('${name}')`,
    find: (name) => `provider = '${name}'`,
  },
  ai_models: {
    shared: (name, isOffered) =>
      `insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, is_active)
       values ('${name}', 'A model', 'a-model', 100, ${isOffered})`,
    find: (name) => `model = '${name}'`,
  },
  ai_model_prices: {
    needs: 'ai_models',
    shared: (name) => `select private.set_model_price('${name}', '{"input": 0, "output": 1}', '2020-01-01')`,
    find: (name) => `model = '${name}'`,
  },
  models: {
    needs: 'ai_models',
    key: 'model',
    shared: (name) => `select private.set_model_price('${name}', '{"input": 0, "output": 0}', '2020-01-01')`,
    find: (name) => `model = '${name}'`,
  },
  video_models: {
    needs: 'ai_models',
    // On offer with its price alone.
    shared: (name) =>
      `with made as (insert into public.video_models (model, durations) values ('${name}', '{8}') returning model)
       select private.set_model_price(model, '{"request": 0}', '2020-01-01') from made`,
    find: (name) => `model = '${name}'`,
  },
  ai_price_components: {
    needs: 'ai_models',
    shared: (name) => `select private.set_model_price('${name}', '{"request": 1}', '2019-01-01')`,
    find: (name) => `price_id in (select p.id from public.ai_model_prices p where p.model = '${name}')`,
  },
  video_jobs: personal(
    'video_jobs',
    'model, prompt, cost_credits, expires_at',
    () => `'a model', 'a prompt', 1, now()`,
  ),
  ai_model_fallbacks: {
    needs: 'ai_models',
    shared: (name) =>
      `insert into public.ai_model_fallbacks (model, position, fallback_model)
       select '${name}', 1, model from public.ai_models where model <> '${name}' order by model limit 1`,
    find: (name) => `model = '${name}'`,
  },

  credit_rates: owned('credit_rates', 'unit, credits, effective_from', () => `'fixed', 1, clock_timestamp()`),
  sessions: personal('sessions', 'client_id', () => `'${randomUUID()}'`),
  session_transcripts: {
    workspace: 'workspace_id',
    person: '(select s.user_id from public.sessions s where s.id = t.session_id)',
    row: (place) => ofSession(place, 'session_transcripts', 'transcript', `'words'`),
  },
  session_analysis_logs: {
    workspace: 'workspace_id',
    person: 'user_id',
    row: (place) =>
      ofSession(
        place,
        'session_analysis_logs',
        'user_id, sequence_number, analyzed_at, safety_level, severity, display_text, model_used',
        `user_id, 1, now(), 'green', 1, 'fine', 'a model'`,
      ),
  },
  session_usage: {
    workspace: 'workspace_id',
    person: 'user_id',
    row: (place) => ofSession(place, 'session_usage', 'user_id', 'user_id'),
  },

  conversations: {
    workspace: 'workspace_id',
    person: 'user_id',
    isHidden: true,
    row: ({ workspace, person }) =>
      `insert into public.conversations (workspace_id, user_id) values ('${workspace}', '${person}')`,
  },
  messages: {
    workspace: 'workspace_id',
    person: '(select c.user_id from public.conversations c where c.id = t.conversation_id)',
    isHidden: true,
    row: ({ workspace, person }) =>
      `with made as (
         insert into public.conversations (workspace_id, user_id) values ('${workspace}', '${person}') returning id
       )
       insert into public.messages (conversation_id) select id from made`,
  },
  attachments: {
    workspace: 'workspace_id',
    person: '(select c.user_id from public.conversations c where c.id = t.conversation_id)',
    row: ({ workspace, person }) =>
      `with made as (
         insert into public.conversations (workspace_id, user_id) values ('${workspace}', '${person}') returning id
       )
       insert into public.attachments (workspace_id, conversation_id, name, media_type, size_bytes)
       select '${workspace}', id, 'a file', 'image/png', 1 from made`,
  },
  conversation_summary: {
    workspace: '(select c.workspace_id from public.conversations c where c.id = t.id)',
    person: 'user_id',
    key: 'id',
    row: ({ workspace, person }) =>
      `insert into public.conversations (workspace_id, user_id) values ('${workspace}', '${person}')`,
  },

  rag_documents: personal(
    'rag_documents',
    'title, source, content, content_hash',
    () => `'a document', '${randomUUID()}', 'a text', 'a hash'`,
  ),
  rag_chunks: {
    workspace: 'workspace_id',
    row: ({ workspace }) =>
      `with made as (
         insert into public.rag_documents (workspace_id, title, source, content, content_hash)
         values ('${workspace}', 'a document', '${randomUUID()}', 'a text', 'a hash') returning id
       )
       insert into public.rag_chunks (workspace_id, document_id, position, start_character, end_character, content, content_hash)
       select '${workspace}', id, 1, 0, 6, 'a text', 'a hash' from made`,
  },

  plans: {
    shared: (name, isOffered) =>
      `insert into public.plans (plan, name, rank, is_active)
       select '${name}', 'A plan', max(rank) + 1, ${isOffered} from public.plans`,
    find: (name) => `plan = '${name}'`,
  },
  system_config: {
    shared: (name, isOffered) =>
      `insert into public.system_config (config_key, config_value, value_type, description, is_public)
       values ('${name}', '1', 'integer', 'A setting', ${isOffered})`,
    find: (name) => `config_key = '${name}'`,
  },

  features: {
    shared: (name, isOffered) =>
      `insert into public.features (feature_code, name, unit, is_active) values ('${name}', 'A feature', 'use', ${isOffered})`,
    find: (name) => `feature_code = '${name}'`,
  },
  plan_features: {
    needs: 'features',
    shared: (name) => `insert into public.plan_features (plan, feature_code) values ('free', '${name}')`,
    find: (name) => `feature_code = '${name}'`,
  },
  workspace_features: oneEach('workspace_features', 'feature_code, reason', `'message', 'a reason'`),
  usage_records: {
    ...personal('private.usage_records', 'feature_code, quantity, period_start', () => `'message', 1, now()`),
    key: 'id',
  },
  feature_usage: oneEach('feature_usage', 'feature_code, period_start, used', `'message', '2020-01-01', 1`),

  audit_logs: owned('audit_logs', 'actor_role, action, resource_type', () => `'authenticated', 'update', 'workspaces'`),
  notifications: {
    ...personal('notifications', 'kind', () => `'low_balance'`),
    row: ({ workspace, person }) =>
      `insert into public.notifications (workspace_id, user_id, kind)
       values ('${workspace}', '${person}', 'low_balance'), ('${workspace}', null, 'low_balance')`,
  },
  credit_alerts: owned('credit_alerts', 'kind, threshold', () => `'low_balance', ${randomInt(1e9)}`),
  auto_top_ups: {
    workspace: 'workspace_id',
    row: ({ workspace }) =>
      `with product as (
         insert into public.payment_products (platform, product_id, price_id, name, credits, amount, currency)
         values ('stripe', 'a pack', '${randomUUID()}', 'A pack', 1, 1, 'USD') returning id
       )
       insert into public.auto_top_ups (workspace_id, payment_product_id, amount, currency, threshold, monthly_cap)
       select '${workspace}', id, 1, 'USD', 1, 1 from product on conflict do nothing`,
  },

  payment_products: {
    shared: (name, isOffered) =>
      `insert into public.payment_products (platform, product_id, name, credits, amount, currency, is_active)
       values ('creem', '${name}', 'A pack', 1, 1, 'USD', ${isOffered})`,
    find: (name) => `product_id = '${name}'`,
  },
  payment_customers: owned('payment_customers', 'platform, customer_id', () => `'creem', '${randomUUID()}'`),
  user_subscriptions: personal(
    'user_subscriptions',
    'platform, subscription_id, state_occurred_at, state_rank, state_event_id',
    () => `'creem', '${randomUUID()}', now(), 0, 'evt'`,
  ),
  current_subscriptions: { workspace: 'workspace_id', key: 'workspace_id' },
  payments: personal(
    'payments',
    'platform, payment_id, status, state_occurred_at, state_rank, state_event_id',
    () => `'creem', '${randomUUID()}', 'succeeded', now(), 0, 'evt'`,
  ),
  subscription_history: owned(
    'subscription_history',
    'platform, subscription_id, event_type, event_id, occurred_at',
    () => `'creem', 'sub', 'subscription_created', '${randomUUID()}', now()`,
  ),
  payment_events: {
    shared: (name) =>
      `insert into public.payment_events (platform, event_id, event_type, occurred_at) values ('creem', '${name}', 'a.type', now())`,
    find: (name) => `event_id = '${name}'`,
  },
  unmatched_payment_emails: {
    shared: (name) =>
      `insert into public.unmatched_payment_emails (platform, customer_id, event_id) values ('creem', '${name}', 'evt')`,
    find: (name) => `customer_id = '${name}'`,
  },
  admin_notifications: {
    shared: (name) => `insert into public.admin_notifications (kind, subject) values ('payment_unmatched', '${name}')`,
    find: (name) => `subject = '${name}'`,
  },
  user_email_aliases: {
    person: 'user_id',
    row: ({ person }) =>
      `insert into public.user_email_aliases (user_id, email) values ('${person}', '${randomUUID()}@example.test')`,
  },
};
