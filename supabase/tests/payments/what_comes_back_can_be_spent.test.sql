-- A dispute that is won and a refund that fails give credits back, also after the time of what they were paid for.
begin;
select plan(26);
select tests.create_guest(n) from unnest(array['periods', 'pack', 'expired', 'capped', 'by_hand', 'partly', 'paid_up', 'late', 'undone', 'rolled', 'carried', 'returned']) n;
select tests.sell('prod_none', 100, 'basic'), tests.sell('prod_some', 100, 'pro');
select tests.sell('prod_big', 1000, 'creator');
select tests.sell('prod_month', 100, expires_after_days => 30), tests.sell('prod_pack', 100);
update public.plans set credit_rollover = 'capped', credit_rollover_cap = 30 where plan = 'pro';
-- An event about a customer of its own.
create function pg_temp.tell(id text, facts jsonb, at timestamptz, customer text default null) returns text language sql as $$
  select tests.deliver(id, case when customer is null then facts
    else jsonb_set(facts, '{customer,id}', to_jsonb(customer)) end, at, at) $$;
create function pg_temp.dispute(payment text, status text, at timestamptz) returns text language sql as $$
  select pg_temp.tell(format('%s %s', payment, status), tests.reversed(payment, 1000, 'dispute', status, 'd_' || payment), at) $$;
grant execute on all functions in schema pg_temp to service_role;
select tests.be_service();

select pg_temp.tell('p1', tests.paid_period('prod_none', '2026-01-01', 'periods', 'sub_p'), '2026-01-01');
select public.debit_user_credits_transaction(tests.id('periods'), 100, 'generation', at => '2026-01-10');
select pg_temp.tell('p2', tests.paid_period('prod_none', '2026-01-31', 'periods', 'sub_p'), '2026-01-31');
select pg_temp.tell('p3', tests.paid_period('prod_none', '2026-03-02', 'periods', 'sub_p'), '2026-03-02');
select public.expire_credits(tests.id('periods'), '2026-03-10');
select is(tests.wallet('periods'), 'balance 100, total 300, spent 100, expired 100, held 0', 'the third of three periods');
select pg_temp.dispute('tran_p_20260101', 'open', '2026-03-12');
select is(tests.wallet('periods'), 'balance 0, total 200, spent 100, expired 100, held 0', 'the first, spent, is disputed');
select pg_temp.dispute('tran_p_20260101', 'won', '2026-03-20');
select public.expire_credits(tests.id('periods'), '2026-03-21');
select is(tests.wallet('periods'), 'balance 100, total 300, spent 100, expired 100, held 0', 'won, it can be spent');
select public.expire_credits(tests.id('periods'), '2026-06-01');
select is(tests.wallet('periods'), 'balance 0, total 300, spent 100, expired 200, held 0', 'for as long as a period, not for ever');

select pg_temp.tell('k1', tests.paid_pack('prod_month', 'tran_k', 'pack'), '2026-01-01', 'cust_k');
select pg_temp.tell('k2', tests.reversed('tran_k', 1000, id => 'ref_k'), '2026-01-10');
select pg_temp.tell('k3', tests.reversed('tran_k', 1000, status => 'failed', id => 'ref_k'), '2026-02-10');
select public.expire_credits(tests.id('pack'), '2026-03-01');
select is(tests.wallet('pack'), 'balance 100, total 100, spent 0, expired 0, held 0', 'a refund that fails after a pack''s time');
select public.expire_credits(tests.id('pack'), '2026-03-13');
select is(tests.wallet('pack'), 'balance 0, total 100, spent 0, expired 100, held 0', 'which lives as long again');

select pg_temp.tell('e1', tests.paid_pack('prod_month', 'tran_e', 'expired'), '2026-01-01', 'cust_e');
select public.debit_user_credits_transaction(tests.id('expired'), 40, 'generation', at => '2026-01-10');
select public.expire_credits(tests.id('expired'), '2026-02-01');
select pg_temp.dispute('tran_e', 'open', '2026-02-10');
select is(tests.wallet('expired'), 'balance -40, total 60, spent 40, expired 60, held 0', 'what had expired is not taken');
select pg_temp.dispute('tran_e', 'won', '2026-02-20');
select is(tests.wallet('expired'), 'balance 0, total 100, spent 40, expired 60, held 0', 'and does not come back');
select pg_temp.dispute('tran_e', 'lost', '2026-02-21');
select is(tests.wallet('expired'), 'balance -40, total 60, spent 40, expired 60, held 0', 'the same the next time');

select pg_temp.tell('c1', tests.paid_period('prod_some', '2026-01-01', 'capped', 'sub_c'), '2026-01-01');
select public.debit_user_credits_transaction(tests.id('capped'), 100, 'generation', at => '2026-01-10');
select pg_temp.tell('c2', tests.paid_period('prod_some', '2026-01-31', 'capped', 'sub_c'), '2026-01-31');
select pg_temp.dispute('tran_c_20260101', 'open', '2026-02-05'), pg_temp.dispute('tran_c_20260101', 'won', '2026-02-06');
select is(tests.wallet('capped'), 'balance 100, total 200, spent 100, expired 0, held 0', 'a rollover''s cap ends none of it');

select pg_temp.tell('h1', tests.paid_pack('prod_pack', 'tran_h1', 'by_hand'), '2026-01-01', 'cust_h');
select pg_temp.tell('h2', tests.paid_pack('prod_pack', 'tran_h2', 'by_hand'), '2026-01-01', 'cust_h');
select public.clawback_credits(g.id, 100, 'refund', at => '2026-01-02') from (
  select id from public.credit_grants where workspace_id = tests.id('by_hand') order by created_at limit 1) g;
select pg_temp.tell('h3', tests.reversed('tran_h1', 1000, id => 'ref_h'), '2026-01-03');
select is(tests.wallet('by_hand'), 'balance 100, total 100, spent 0, expired 0, held 0',
  'what was clawed back by hand the refund takes no second time');
select pg_temp.tell('h4', tests.reversed('tran_h1', 1000, status => 'failed', id => 'ref_h'), '2026-01-04');
select is(tests.wallet('by_hand'), 'balance 200, total 200, spent 0, expired 0, held 0', 'and it comes back if that fails');
select public.clawback_credits(g.id, 30, 'refund', at => '2026-01-02') from (
  select id from public.credit_grants where workspace_id = tests.id('by_hand') order by created_at desc limit 1) g;
select pg_temp.tell('h5', tests.reversed('tran_h2', 500, id => 'ref_h2'), '2026-01-05');
select is(tests.wallet('by_hand'), 'balance 150, total 150, spent 0, expired 0, held 0', 'of half of it only what is missing is taken');

select pg_temp.tell('u1', tests.paid_period('prod_none', '2026-01-01', 'paid_up', 'sub_u'), '2026-01-01');
select public.debit_user_credits_transaction(tests.id('paid_up'), 100, 'generation', at => '2026-01-10');
select pg_temp.tell('u2', '{"payment": {"id": "tran_u2", "status": "succeeded", "kind": "subscription", "amount": 1000,
  "product_id": "prod_none", "units": 2, "subscription_id": "sub_u", "changed_at": "2026-01-16T00:00:00Z"}}', '2026-01-16');
select is(tests.wallet('paid_up'), 'balance 50, total 150, spent 100, expired 0, held 0', 'a spent grant that is filled again');
select public.expire_credits(tests.id('paid_up'), '2026-02-03');
select is(tests.wallet('paid_up'), 'balance 0, total 150, spent 100, expired 50, held 0', 'ends with its period');

select pg_temp.tell('l1', tests.paid_pack('prod_month', 'tran_l', 'late'), '2026-01-01', 'cust_l');
select pg_temp.dispute('tran_l', 'open', '2026-01-03'), pg_temp.dispute('tran_l', 'won', '2026-01-30 23:59');
select public.expire_credits(tests.id('late'), '2026-02-27');
select is(tests.wallet('late'), 'balance 100, total 100, spent 0, expired 0, held 0', 'won in its last minute, it has the time that it had left');
select public.expire_credits(tests.id('late'), '2026-02-28');
select is(tests.wallet('late'), 'balance 0, total 100, spent 0, expired 100, held 0', 'and no more');

select pg_temp.tell('r1', tests.paid_period('prod_some', '2026-01-01', 'rolled', 'sub_r'), '2026-01-01');
select pg_temp.dispute('tran_r_20260101', 'open', '2026-01-20');
select pg_temp.tell('r2', tests.paid_period('prod_some', '2026-01-31', 'rolled', 'sub_r'), '2026-01-31');
select pg_temp.dispute('tran_r_20260101', 'won', '2026-02-06');
select is(tests.wallet('rolled'), 'balance 200, total 200, spent 0, expired 0, held 0', 'a period whose dispute is won after the next one was paid');

select pg_temp.tell('o1', tests.paid_period('prod_some', '2026-01-01', 'carried', 'sub_o'), '2026-01-01');
select pg_temp.dispute('tran_o_20260101', 'open', '2026-01-03');
select pg_temp.tell('o2', tests.paid_period('prod_some', '2026-01-31', 'carried', 'sub_o'), '2026-01-31');
select pg_temp.dispute('tran_o_20260101', 'won', '2026-02-20');
select public.expire_credits(tests.id('carried'), '2026-03-10');
select is(tests.wallet('carried'), 'balance 100, total 200, spent 0, expired 100, held 0',
  'what rolls over keeps the time that a dispute took from it, beyond the end of the period that it rolls into');
select public.expire_credits(tests.id('carried'), '2026-03-25');
select is(tests.wallet('carried'), 'balance 0, total 200, spent 0, expired 200, held 0', 'and no more than that');

select pg_temp.tell('q1', tests.paid_period('prod_some', '2026-01-01', 'returned', 'sub_q'), '2026-01-01');
select pg_temp.dispute('tran_q_20260101', 'open', '2026-01-03');
select pg_temp.tell('q2', tests.paid_period('prod_some', '2026-01-31', 'returned', 'sub_q'), '2026-01-31');
select pg_temp.dispute('tran_q_20260101', 'won', '2026-02-20');
select pg_temp.tell('q3', tests.reversed('tran_q_20260131', 1000, id => 'ref_q'), '2026-02-21');
select public.expire_credits(tests.id('returned'), '2026-03-10');
select is(tests.wallet('returned'), 'balance 100, total 100, spent 0, expired 0, held 0', 'also where that period is refunded then');
select public.expire_credits(tests.id('returned'), '2026-03-25');
select is(tests.wallet('returned'), 'balance 0, total 100, spent 0, expired 100, held 0', 'and again no more');

-- Stripe gives money back for a lesser plan.
select tests.be_postgres();
insert into public.payment_products (platform, product_id, price_id, name, plan, billing_period, credits, amount, currency)
select 'stripe', p.product_id, p.product_id, p.name, p.plan, p.billing_period, p.credits, p.amount, p.currency
from public.payment_products p where p.plan is not null;
select tests.be_service();
create function pg_temp.stripe(id text, facts jsonb, at timestamptz) returns jsonb language sql as $$
  select public.receive_payment_event('stripe', id, 'test', at, '{}', '{"rank": 0}' || facts, at => at) $$;
select pg_temp.stripe('n1', tests.paid_period('prod_big', '2026-01-01', 'undone', 'sub_n'), '2026-01-01');
select public.clawback_credits(g.id, 1000, 'abuse', at => '2026-01-02') from public.credit_grants g where g.workspace_id = tests.id('undone');
select pg_temp.stripe('n2', tests.told_status('active', 'prod_none', 'sub_n'), '2026-01-16');
select is(tests.wallet('undone'), 'balance 0, total 0, spent 0, expired 0, held 0', 'what was clawed back by hand a lesser plan takes no second time');
select pg_temp.stripe('n3', '{"payment": {"id": "tran_n2", "status": "succeeded", "kind": "subscription", "amount": 1000,
  "product_id": "prod_big", "subscription_id": "sub_n", "changed_at": "2026-01-16T00:00:00Z"}}', '2026-01-16');
select is(tests.wallet('undone'), 'balance 0, total 0, spent 0, expired 0, held 0', 'and going back to the plan does not undo it');
select pg_temp.stripe('n4', tests.told_status('active', 'prod_none', 'sub_n'), '2026-01-20');
select pg_temp.stripe('n5', tests.reversed('tran_n_20260101', 1000, id => 'ref_n'), '2026-01-21');
select pg_temp.stripe('n6', tests.reversed('tran_n2', 1000, id => 'ref_n2'), '2026-01-22');
select is(tests.wallet('undone'), 'balance 0, total 0, spent 0, expired 0, held 0', 'nor does its refund take more');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
