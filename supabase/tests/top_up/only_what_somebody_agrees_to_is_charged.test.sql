-- Between asking for a pack and charging it much may happen: what is charged is agreed to and needed then.
begin;
select plan(50);
select tests.create_user(n) from unnest(array['owner', 'admin', 'payer', 'platform']) n;
update public.users set role = 'admin' where id = tests.id('platform');
select tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'admin', 'admin'), tests.join_team('team', 'payer', 'admin');
insert into public.payment_products (id, platform, product_id, price_id, name, credits, amount, currency) values
  (tests.id('pack'), 'stripe', 'prod_pack', 'price_pack', 'Pack', 100, 900, 'USD'), (tests.id('other'), 'stripe', 'prod_other', 'price_other', 'Other', 100, 900, 'USD');
create function pg_temp.buy(customer text, person text, bought_by public.payment_evidence default 'checkout', of_team text default 'team') returns void language sql as $$
  insert into public.payment_customers (platform, customer_id, workspace_id, bound_by) values ('stripe', customer, tests.id(of_team), bought_by) on conflict do nothing;
  insert into public.user_subscriptions (platform, subscription_id, customer_id, workspace_id, user_id, bound_by, state_occurred_at, state_rank, state_event_id)
  values ('stripe', 'sub_' || customer || person, customer, tests.id(of_team), case when exists (select from public.users where id = tests.id(person)) then tests.id(person) end, bought_by, now(), 0, 'e') $$;
create function pg_temp.customer() returns text language sql as $$ select private.customer_to_charge(tests.id('team'), 'stripe') $$;
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'manual', workspace_id => tests.id('team'));
create function pg_temp.claim(at timestamptz default now() + interval '30 s') returns text language sql as $$ select public.claim_payment_task(claim.at) ->> 'task' $$;
create function pg_temp.state() returns text language sql as $$
  select concat_ws(', ', case when r.is_active then 'on' else 'off' end, 'asked ' || r.requested_this_month, 'open ' ||
    (select count(*) from private.payment_tasks t where t.workspace_id = r.workspace_id and t.state < 'done'), r.last_error) from public.auto_top_ups r $$;
-- Everything is undone but the rule, which admin sets again: a pack is asked for at once.
create function pg_temp.ask(person text default 'admin', product text default 'pack') returns void language plpgsql as $$
begin
  delete from private.payment_tasks;
  delete from public.auto_top_ups;
  delete from public.notifications;
  perform tests.sign_in(person), public.set_auto_top_up(tests.id('team'), tests.id(product), 20, 2);
  perform tests.be_postgres();
end $$;
create function pg_temp.fail(at timestamptz default now() + interval '30 s') returns void language sql as $$
  select public.finish_payment_task((public.claim_payment_task(fail.at) ->> 'id')::bigint, 'connection refused', at => fail.at) $$;
create function pg_temp.told() returns text language sql as $$ select string_agg(kind || ': ' || (data ->> 'error'), ', ') from public.notifications $$;

-- Whose card.
select is(pg_temp.customer(), null, 'before the first purchase there is nobody to charge');
select pg_temp.buy('cus_1', 'payer');
select is(pg_temp.customer(), 'cus_1', 'who bought is in the team');
update public.users set is_active = false where id = tests.id('payer');
select is(pg_temp.customer(), null, 'a disabled account pays nothing');
update public.users set is_active = true where id = tests.id('payer');
select pg_temp.buy('cus_1', 'owner');
select is(pg_temp.customer(), 'cus_1', 'two may have bought');
insert into public.payments (platform, payment_id, customer_id, workspace_id, user_id, bound_by, status, state_occurred_at, state_rank, state_event_id)
values ('stripe', 'pi_1', 'cus_1', tests.id('team'), tests.id('platform'), 'checkout', 'succeeded', now(), 0, 'e');
select is(pg_temp.customer(), null, 'while all of them are there: the card may be anyone''s of them');
insert into private.payment_tasks (platform, task, workspace_id, payment_product_id, state, payment_id) values ('stripe', 'charge_pack', tests.id('team'), tests.id('pack'), 'done', 'pi_1');
select is(pg_temp.customer(), 'cus_1', 'whoever set a top-up gave no card for it');
select is(public.begin_checkout(tests.id('owner'), tests.id('pack'), 1, tests.id('team')) ->> 'customer_id', 'cus_1', 'a checkout is for that customer as well');
select pg_temp.ask();
select tests.sign_in('payer');
select public.leave_workspace(tests.id('team'));
select tests.be_service();
select is(public.claim_payment_task(now() + interval '30 s') ->> 'customer_id', null, 'nobody who left is charged');
select is(public.begin_checkout(tests.id('owner'), tests.id('pack'), 1, tests.id('team')) ->> 'customer_id', null, 'and who buys then pays with a card of their own');
select tests.be_postgres();
select public.finish_payment_task((select max(id) from private.payment_tasks), 'nobody', 'impossible');
select is(pg_temp.state(), 'off, asked 0, open 0, nobody', 'the top-up is over');
select pg_temp.buy('cus_gone', 'nobody'), pg_temp.buy('cus_gone', 'owner');
select is(pg_temp.customer(), null, 'a card of a deleted account is not charged either');
select pg_temp.buy('cus_admin', 'nobody', 'admin');
select is(pg_temp.customer(), null, 'nor one of which nobody knows whose it is');
select pg_temp.buy('cus_2', 'owner');

-- Not tried yet: it is over.
select pg_temp.ask();
select is(pg_temp.state() || ' ' || pg_temp.claim(), 'on, asked 1, open 1 charge_pack', 'what stands is charged');
select pg_temp.ask();
update public.credit_wallets set frozen_at = now() where workspace_id = tests.id('team');
select is(pg_temp.claim(), null, 'a frozen workspace is not charged');
select is(pg_temp.state(), 'on, asked 0, open 0', 'which does not count');
select is(private.request_next_top_up(now()), false, 'nor is anything asked for');
update public.credit_wallets set frozen_at = null where workspace_id = tests.id('team');
select is(private.request_next_top_up(now()), true, 'until it is no more');
select pg_temp.ask();
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'manual', workspace_id => tests.id('team'));
select is(pg_temp.claim() is null and pg_temp.state() = 'on, asked 0, open 0', true, 'what is there by now is not bought');
select public.debit_user_credits_transaction(tests.id('owner'), 10, 'manual', workspace_id => tests.id('team'));
select pg_temp.ask();
update public.payment_products set is_active = false where id = tests.id('pack');
select is(pg_temp.claim() is null and pg_temp.state() = 'on, asked 0, open 0', true, 'what is sold no more is not charged');
update public.payment_products set is_active = true where id = tests.id('pack');
select pg_temp.ask();
update public.payment_products set amount = 90000 where id = tests.id('pack');
select is(pg_temp.claim(), null, 'nor at another price');
select is(pg_temp.state(), 'off, asked 0, open 0, The pack has another price than was agreed to.', 'the top-up is over');
select is(pg_temp.told(), 'top_up_ended: The pack has another price than was agreed to.', 'and its workspace told');
select pg_temp.ask();
select is((select amount from public.auto_top_ups), 90000::bigint, 'set anew the new price is agreed to');
update public.payment_products set currency = 'EUR' where id = tests.id('pack');
select is(private.end_next_top_up(now()), true, 'the scheduled work ends it too');
select is(private.end_next_top_up(now()), false, 'once');
select is(pg_temp.state(), 'off, asked 0, open 0, The pack has another price than was agreed to.', 'with what was asked for');
select pg_temp.ask();
update public.payment_products set price_id = 'price_new' where id = tests.id('pack');
select is(pg_temp.claim() is null and pg_temp.state() ~ '^off, asked 0', true, 'another price at the platform is another price');

-- Whose word it is.
select pg_temp.ask();
update public.users set is_active = false where id = tests.id('admin');
select is(pg_temp.claim() is null and pg_temp.state() ~ '^off, asked 0, open 0', true, 'a disabled account agrees to nothing');
update public.users set is_active = true where id = tests.id('admin');
select pg_temp.ask();
update public.workspace_members set role = 'member' where user_id = tests.id('admin') and workspace_id = tests.id('team');
select is(pg_temp.claim() is null and pg_temp.state() ~ '^off, asked 0, open 0', true, 'nor does one who manages nothing');
update public.workspace_members set role = 'admin' where user_id = tests.id('admin') and workspace_id = tests.id('team');
select pg_temp.ask();
select tests.sign_in('owner');
select public.set_member_role(tests.id('team'), tests.id('admin'), 'member');
select tests.be_postgres();
select is(pg_temp.state(), 'off, asked 0, open 0, Whoever set it sees to this workspace''s payments no more.', 'with the role it ends at once');
select is(pg_temp.told(), 'top_up_ended: Whoever set it sees to this workspace''s payments no more.', 'and the others are told');
update public.workspace_members set role = 'admin' where user_id = tests.id('admin') and workspace_id = tests.id('team');
select pg_temp.ask('owner');
select tests.sign_in('owner');
select public.remove_member(tests.id('team'), tests.id('admin'));
select tests.be_postgres();
select is(pg_temp.state(), 'on, asked 1, open 1', 'that of somebody else goes on');
select tests.join_team('team', 'admin', 'admin');
select pg_temp.ask();
delete from auth.users where id = tests.id('admin');
select is(pg_temp.state(), 'off, asked 0, open 0, Whoever set it sees to this workspace''s payments no more.', 'with the account as well');
select tests.create_user('admin'), tests.join_team('team', 'admin', 'admin');

-- Tried, and whether it was charged is not known: it is voided.
select pg_temp.ask(), pg_temp.fail();
select is(pg_temp.claim(now() + interval '2 min'), 'charge_pack', 'a try that failed is repeated');
select pg_temp.ask(), pg_temp.fail();
select tests.sign_in('owner');
select public.disable_auto_top_up(tests.id('team'));
select tests.be_postgres();
select is(pg_temp.state(), 'off, asked 1, open 1', 'when the top-up is ended it may have been charged');
select is(pg_temp.claim(now() + interval '2 min'), 'void_charge', 'it is not charged any more');
select public.finish_payment_task((select max(id) from private.payment_tasks));
select is(pg_temp.state(), 'off, asked 0, open 0', 'voided it does not count');
select is(pg_temp.told(), null, 'who ended it need not be told');
select pg_temp.ask(), pg_temp.fail();
select tests.sign_in('owner');
select public.disable_auto_top_up(tests.id('team'));
select public.set_auto_top_up(tests.id('team'), tests.id('pack'), 20, 2);
select tests.be_postgres();
select is(pg_temp.claim(now() + interval '2 min'), 'void_charge', 'nor in the name of somebody who set it anew');
select public.finish_payment_task((select max(id) from private.payment_tasks), payment_id => 'in_1');
select is(pg_temp.state(), 'on, asked 1, open 0', 'one that had been charged counts');
select pg_temp.ask(), pg_temp.fail();
select tests.sign_in('admin');
select public.set_auto_top_up(tests.id('team'), tests.id('other'), 20, 2);
select tests.be_postgres();
select is(pg_temp.claim(now() + interval '2 min'), 'void_charge', 'nor where another pack was agreed to');
select pg_temp.ask(), pg_temp.fail();
update public.payment_customers set workspace_id = null where customer_id = 'cus_2';
select is(pg_temp.claim(now() + interval '2 min'), 'void_charge', 'nor to a card of somebody who has left by then');
select pg_temp.ask(), pg_temp.fail();
update private.payment_tasks set state = 'voiding', attempts = 8, due_at = now();
select pg_temp.fail();
select is(pg_temp.state(), 'on, asked 1, open 1', 'voiding is tried again');
select pg_temp.fail(now() + interval '1 day');
select is(pg_temp.state(), 'on, asked 1, open 0', 'not for ever; it may have been charged');

-- A day after its first try the platform may not know of it any more.
update public.payment_customers set workspace_id = tests.id('team') where customer_id = 'cus_2';
select pg_temp.ask(), pg_temp.fail();
select is(pg_temp.claim(now() + interval '22 hours'), 'charge_pack', 'within a day it is tried again');
select is(pg_temp.claim(now() + interval '24 hours'), null, 'but not later, however few its tries were');
select is(pg_temp.state(), 'on, asked 1, open 0, The function that was to charge it never reported what came of it.',
  'it may have been charged, and counts');
select pg_temp.ask(), pg_temp.fail();
select is(private.end_next_lost_charge(now() + interval '24 hours'), true, 'the scheduled work ends it too');
select pg_temp.ask(), pg_temp.fail();
delete from public.workspaces where id = tests.id('team');
delete from private.payment_tasks where task = 'cancel_subscription';
select is(pg_temp.claim(now() + interval '2 minutes'), 'void_charge', 'that of a workspace that is gone is voided');
select public.finish_payment_task((select max(id) from private.payment_tasks));
select is((select count(*)::integer from private.payment_tasks where task = 'charge_pack' and state < 'done'), 0, 'once');

select * from finish();
rollback;
