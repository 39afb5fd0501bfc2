/**
 * A call for every function that people may execute, for the access tests. A new function needs a line in functions.md, and
 * a call here for each line unless only the service role may execute it.
 */
import type { World } from './people.ts';

/** One call: SQL that gives a row, and what has to be there first. */
export type Call = {
  sql: (world: World) => string;
  before?: (world: World) => string;
  /** Errors that say that it is not for this caller; these and no other, or that there is no such thing, if not given. */
  refusals?: string[];
};

const of = (world: World, name: string): string => `'${world.people[name]}'`;
const team = (world: World): string => `'${world.team}'`;

const INVITATION = '11111111-aaaa-4aaa-8aaa-111111111111';
const KEY = '22222222-aaaa-4aaa-8aaa-222222222222';
const PACK = '44444444-aaaa-4aaa-8aaa-444444444444';
const UNMATCHED = '33333333-aaaa-4aaa-8aaa-333333333333';

const inviteTheStranger = (world: World): string => `
  insert into public.workspace_invitations (id, workspace_id, email, role, expires_at)
  select '${INVITATION}', ${team(world)}, email, 'member', now() + interval '1 day' from auth.users where id = ${of(world, 'stranger')};
  insert into private.invitation_hashes (token_hash, invitation_id) values (extensions.digest('a token', 'sha256'), '${INVITATION}')`;

const makeAKey = (world: World): string => `
  insert into public.api_keys (id, workspace_id, user_id, name, prefix) values ('${KEY}', ${team(world)}, ${of(world, 'member')}, 'a key', 'sk-')`;

const logACall = (world: World): string => `
  insert into private.ai_usage_logs (workspace_id, user_id, scene, status, model, request_id, created_at)
  values (${team(world)}, ${of(world, 'member')}, 'text_chat', 'success', 'a model', 'req_of_${world.team}', '2020-01-01')`;

/** By function, and by what the line in functions.md calls the call. */
export const CALLS: Record<string, Record<string, Call>> = {
  accept_invitation: {
    'of the stranger': { before: inviteTheStranger, sql: () => `select public.accept_invitation('a token')` },
  },
  create_api_key: { 'for the team': { sql: (world) => `select public.create_api_key('a key', ${team(world)})` } },
  rotate_api_key: { "of a member's key": { before: makeAKey, sql: () => `select public.rotate_api_key('${KEY}')` } },
  revoke_api_key: { "of a member's key": { before: makeAKey, sql: () => `select public.revoke_api_key('${KEY}')` } },
  credits_used: {
    "of a member's key": {
      before: makeAKey,
      sql: () => `select public.credits_used(k) from public.api_keys k where k.id = '${KEY}'`,
    },
  },
  period_credits_used: {
    "of a member's key": {
      before: makeAKey,
      sql: () => `select public.period_credits_used(k) from public.api_keys k where k.id = '${KEY}'`,
    },
  },
  period_started_at: {
    "of a member's key": {
      before: makeAKey,
      sql: () => `select public.period_started_at(k) from public.api_keys k where k.id = '${KEY}'`,
    },
  },

  create_workspace: { '': { sql: () => `select public.create_workspace('A team')` } },
  delete_workspace: { 'the team': { sql: (world) => `select public.delete_workspace(${team(world)})` } },
  leave_workspace: { 'the team': { sql: (world) => `select public.leave_workspace(${team(world)})` } },
  list_members: { 'of the team': { sql: (world) => `select * from public.list_members(${team(world)})` } },
  remove_member: {
    'a member': { sql: (world) => `select public.remove_member(${team(world)}, ${of(world, 'member')})` },
    'an owner': { sql: (world) => `select public.remove_member(${team(world)}, ${of(world, 'owner')})` },
  },
  set_member_role: {
    'a member to admin': {
      sql: (world) => `select public.set_member_role(${team(world)}, ${of(world, 'member')}, 'admin')`,
    },
    'a member to owner': {
      sql: (world) => `select public.set_member_role(${team(world)}, ${of(world, 'member')}, 'owner')`,
    },
    'an owner to member': {
      sql: (world) => `select public.set_member_role(${team(world)}, ${of(world, 'owner')}, 'member')`,
    },
  },
  transfer_ownership: {
    'to a member': { sql: (world) => `select public.transfer_ownership(${team(world)}, ${of(world, 'member')})` },
  },
  set_member_limit: {
    'of a member': { sql: (world) => `select public.set_member_limit(${team(world)}, ${of(world, 'member')}, 5)` },
  },
  invite_member: {
    'into the team': { sql: (world) => `select public.invite_member(${team(world)}, 'a@example.test')` },
  },
  resend_invitation: {
    'into the team': { before: inviteTheStranger, sql: () => `select public.resend_invitation('${INVITATION}')` },
  },
  revoke_invitation: {
    'into the team': { before: inviteTheStranger, sql: () => `select public.revoke_invitation('${INVITATION}')` },
  },

  explain_charge: {
    "of a member's call": { before: logACall, sql: (world) => `select public.explain_charge('req_of_${world.team}')` },
  },
  my_credit_transactions: {
    'in the team': {
      before: (world) =>
        `insert into public.credit_transactions (workspace_id, user_id, created_at, transaction_type, is_overdraft, amount, balance_after, reason, lots)
         values (${team(world)}, ${of(world, 'member')}, now(), 'credit', false, 1, 1, 'manual', '{}')`,
      sql: (world) => `select * from public.my_credit_transactions(${team(world)})`,
    },
  },
  usage_report: {
    "of a member's day": {
      before: logACall,
      sql: (world) => `select * from public.usage_report('day', '2020-01-01', '2020-01-01', ${team(world)})`,
    },
    'of all workspaces': {
      before: logACall,
      sql: () => `select * from public.usage_report('day', '2020-01-01', '2020-01-01', all_workspaces => true)`,
    },
  },

  list_payment_products: { '': { sql: () => 'select public.list_payment_products()' } },
  resolve_unmatched_payment: {
    'for the team': {
      before: () =>
        `insert into public.unmatched_payment_emails (id, platform, customer_id, event_id) values ('${UNMATCHED}', 'creem', 'access', 'evt')`,
      sql: (world) => `select public.resolve_unmatched_payment('${UNMATCHED}', ${team(world)})`,
    },
  },
  // That there is none of this id is found out after who asks.
  resolve_dispute: {
    '': { sql: () => `select public.resolve_dispute('creem', 'no-such', 'won')`, refusals: ['PT403'] },
  },
  replay_payment_event: { '': { sql: () => 'select public.replay_payment_event(0)', refusals: ['PT403'] } },

  check_feature: {
    // The project's own functions say for whom they ask.
    'for the team': {
      sql: (world) =>
        `select public.check_feature('message', 1, case when auth.uid() is null then ${of(world, 'member')}::uuid end, ${team(world)})`,
    },
  },
  set_auto_top_up: {
    'of the team': {
      before: () =>
        `insert into public.payment_products (id, platform, product_id, price_id, name, credits, amount, currency)
         values ('${PACK}', 'stripe', 'a pack', 'a price', 'A pack', 1, 1, 'USD')`,
      sql: (world) => `select public.set_auto_top_up(${team(world)}, '${PACK}', 10, 1)`,
    },
  },
  disable_auto_top_up: {
    'of the team': { sql: (world) => `select public.disable_auto_top_up(${team(world)})` },
  },

  admin_find_users: { '': { sql: () => `select count(*) from public.admin_find_users('somebody')` } },
  admin_find_workspaces: { '': { sql: () => `select count(*) from public.admin_find_workspaces('something')` } },
  admin_adjust_credits: {
    'of the team': { sql: (world) => `select public.admin_adjust_credits(${team(world)}, 1, 'a reason', 'a key')` },
  },
  admin_set_account_active: {
    'of a member': {
      sql: (world) => `select public.admin_set_account_active(${of(world, 'member')}, false, 'a reason')`,
    },
  },
  admin_set_overdraft: {
    'of the team': { sql: (world) => `select public.admin_set_overdraft(${team(world)}, 1, 'a reason')` },
  },
  admin_set_config: {
    '': { sql: () => `select public.admin_set_config('max_credits_balance', '1000', 'a reason')` },
  },
  // That there is no such model is found out after who asks.
  admin_set_model_price: {
    '': { sql: () => `select public.admin_set_model_price('no-such', 'a reason')`, refusals: ['PT403'] },
  },
};
