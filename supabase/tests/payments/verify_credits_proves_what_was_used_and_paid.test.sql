begin;
select plan(14);
select tests.create_user('owner'), tests.create_user('member');
select tests.create_team('team'), tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('m', 'M', 'up', 10, 2);
select private.set_model_price('m', '{"input": 0, "output": 0}', '2020-01-01');
insert into public.api_keys (id, workspace_id, user_id, name, prefix, period_budget, budget_period) values
  (tests.id('key'), tests.id('team'), tests.id('member'), 'k', 'sk-', 50, 'month');
insert into private.api_key_hashes (key_hash, api_key_id) values (sha256('secret'), tests.id('key'));
select tests.sell('pack', 50), tests.sell('plan', 100, 'basic');

-- A member has used 5, and 2 by a key whose next call is under way; a pack and a period were paid for.
select public.credit_user_credits_transaction(tests.id('owner'), 50, 'gift', workspace_id => tests.id('team'));
select public.debit_user_credits_transaction(tests.id('member'), 5, 'use', workspace_id => tests.id('team'));
select public.finish_ai_call((a.call ->> 'hold_id')::uuid, 'success', 1, 0, 1)
from (select public.admit_ai_call(null, 'm', 1, api_key_hash => encode(sha256('secret'), 'hex')) as call offset 0) a;
select is(public.admit_ai_call(null, 'm', 1, api_key_hash => encode(sha256('secret'), 'hex')) ->> 'admitted', 'true', 'a call is under way');
select tests.deliver('evt_pack', tests.paid_pack('pack', 'tran_pack', 'owner') || '{"rank": 1}', now(), now());
select tests.deliver('evt_plan', tests.paid_period('plan', now(), 'owner'), now(), now());
select is_empty('select * from public.verify_credits()', 'nothing drifts');

create function pg_temp.drift(change text) returns text
language plpgsql as $$
declare
  found text;
begin
  execute change;
  set constraints all immediate;
  select string_agg(distinct v.rule || ' of ' || v.subject, ', ') into found from public.verify_credits() v;
  raise exception using errcode = 'P0001', message = coalesce(found, 'nothing');
end;
$$;
create temporary table drifts (change text, found text);
insert into drifts values
  ('update public.workspace_member_credits set credits_used = 6 where user_id = MEMBER and workspace_id <> user_id', 'what a spender used is what their entries took of member'),
  ('update public.workspace_member_credits set credits_used = 8 where user_id = MEMBER and workspace_id <> user_id', 'what a spender used is what their entries took of member'),
  ('update public.spending_limits set period_credits_used = 6 where spender_id = MEMBER and workspace_id <> spender_id', 'what a spender used in the period is what their entries took in it of member'),
  ('update public.spending_limits set period_credits_used = 8 where spender_id = MEMBER and workspace_id <> spender_id', 'what a spender used in the period is what their entries took in it of member'),
  ('update public.spending_limits set credits_used = 3 where spender_kind = ''api_key''', 'what a spender used is what their entries took of key'),
  ('update public.spending_limits set period_credits_used = 5 where spender_kind = ''api_key''', 'what a spender used in the period is what their entries took in it of key'),
  ('update private.paid_credits set credited = 49 where source = ''payment''', 'PAID payment tran_pack, TAKEN payment tran_pack'),
  ('update private.paid_credits set written_off = 1 where source = ''period''', 'TAKEN period sub_1'),
  ('update private.paid_credits set cap_expired = 1 where source = ''period''', 'what a rollover cap ended has expired of creem period sub_1'),
  ('delete from private.paid_credits where source = ''payment''', 'PAID payment tran_pack'),
  ('update public.payments set reversed_share = 0.5 where payment_id = ''tran_pack''', 'PAID payment tran_pack'),
  ('update public.credit_wallets set frozen_at = now() where workspace_id = (select id from public.users where id = OWNER)', 'a wallet is frozen while a payment is disputed of owner');
update drifts set change = replace(replace(change, 'MEMBER', format('%L', tests.id('member'))), 'OWNER', format('%L', tests.id('owner'))),
  found = replace(replace(replace(replace(replace(found, 'PAID', 'what was paid for gave what it is worth of creem'),
    'TAKEN', 'what was taken back of something paid is what its grant says, or less of creem'), 'of member', 'of ' || tests.id('member')),
    'of key', 'of ' || tests.id('key')), 'of owner', 'of ' || tests.id('owner'));
select throws_ok(format('select pg_temp.drift(%L)', d.change), 'P0001', d.found, d.change) from drifts d;

select * from finish();
rollback;
