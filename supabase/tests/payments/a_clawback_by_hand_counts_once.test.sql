-- What was clawed back by hand counts for a refund and for a lesser plan, each credit once; a refund that fails gives back
-- what counted for it, and no change of plan does.
begin;
select plan(20);
select tests.sell('prod_some', 100, 'basic'), tests.sell('prod_big', 1000, 'creator');
insert into public.payment_products (platform, product_id, price_id, name, plan, billing_period, credits, amount, currency)
select 'stripe', p.product_id, p.product_id, p.name, p.plan, p.billing_period, p.credits, p.amount, p.currency
from public.payment_products p where p.plan is not null;
select tests.create_guest(n) from unnest(array['all', 'more', 'failed', 'full', 'own', 'both']) n;
-- Stripe gives money back for a lesser plan. Each person has one subscription, paid on the first.
create function pg_temp.event(id text, day integer, facts jsonb) returns void language sql as $$
  select public.receive_payment_event('stripe', id, 'test', '2026-01-01'::timestamptz + make_interval(days => day - 1), '{}',
    '{"rank": 0}' || facts, at => '2026-01-01'::timestamptz + make_interval(days => day - 1)) $$;
create function pg_temp.pay(name text, product text) returns void language sql as $$
  select pg_temp.event('pay ' || name, 1, tests.paid_period(product, '2026-01-01', name, 'sub_' || name)) $$;
create function pg_temp.change(name text, day integer, product text) returns void language sql as $$
  select pg_temp.event(format('change %s %s', name, day), day, tests.told_status('active', product, 'sub_' || name)) $$;
create function pg_temp.pay_change(name text, day integer, product text, amount integer default 1000) returns void
language sql as $$
  select pg_temp.event(format('pay change %s %s', name, day), day, jsonb_build_object('payment', jsonb_build_object(
    'id', format('tran_%s_%s', name, day), 'status', 'succeeded', 'kind', 'subscription', 'amount', amount, 'product_id', product,
    'subscription_id', 'sub_' || name, 'changed_at', '2026-01-01'::timestamptz + make_interval(days => day - 1)))) $$;
create function pg_temp.refund(name text, day integer, amount integer, status text default 'succeeded') returns void
language sql as $$
  select pg_temp.event(format('refund %s %s', name, day), day,
    tests.reversed(format('tran_%s_20260101', name), amount, status => status, id => 'ref_' || name)) $$;
create function pg_temp.claw_back(name text, amount numeric) returns void language sql as $$
  select public.clawback_credits(g.id, claw_back.amount, 'abuse', at => '2026-01-02')
  from public.credit_grants g where g.workspace_id = tests.id(name) $$;
create function pg_temp.balance(name text) returns numeric language sql as $$
  select trim_scale(credits_balance) from public.credit_wallets where workspace_id = tests.id(name) $$;

select pg_temp.pay('all', 'prod_big'), pg_temp.claw_back('all', 1000), pg_temp.refund('all', 3, 250);
select is(pg_temp.balance('all'), 0::numeric, 'all was clawed back by hand: a refund of a quarter takes nothing');
select pg_temp.change('all', 16, 'prod_some');
select is(pg_temp.balance('all'), 0::numeric, 'nor does a lesser plan');
select pg_temp.pay_change('all', 16, 'prod_big');
select is(pg_temp.balance('all'), 0::numeric, 'going back to the plan undoes none of it');
select pg_temp.refund('all', 20, 250, 'failed');
select is(pg_temp.balance('all'), 125::numeric, 'the refund fails: what it now was a refund of comes back');
select pg_temp.change('all', 25, 'prod_some'), pg_temp.pay_change('all', 25, 'prod_big');
select is(pg_temp.balance('all'), 125::numeric, 'and is neither taken nor given again');

select pg_temp.pay('more', 'prod_some'), pg_temp.claw_back('more', 50), pg_temp.refund('more', 3, 250);
select is(pg_temp.balance('more'), 50::numeric, 'half was clawed back, a quarter refunded: half is left');
select pg_temp.pay_change('more', 16, 'prod_big', 4500);
select is(pg_temp.balance('more'), 500::numeric, 'a greater plan brings its difference: of the 550 these 50 are gone');

select pg_temp.pay('failed', 'prod_big'), pg_temp.claw_back('failed', 300), pg_temp.refund('failed', 3, 250);
select pg_temp.change('failed', 16, 'prod_some');
select is(pg_temp.balance('failed'), 412.5, 'of a lesser plan''s 550, a quarter refunded, nothing was used beyond');
select pg_temp.refund('failed', 20, 250, 'failed');
select is(pg_temp.balance('failed'), 550::numeric, 'the refund fails: the quarter comes back');
select pg_temp.pay_change('failed', 16, 'prod_big');
select is(pg_temp.balance('failed'), 837.5, 'back on the plan, 162.5 of the 300 stay clawed back');

select pg_temp.pay('full', 'prod_big'), pg_temp.claw_back('full', 300), pg_temp.refund('full', 3, 1000);
select is(pg_temp.balance('full'), 0::numeric, 'all of it refunded');
select pg_temp.change('full', 16, 'prod_some'), pg_temp.refund('full', 20, 1000, 'failed');
select is(pg_temp.balance('full'), 550::numeric, 'the refund fails after a change to a lesser plan, which all that was clawed back counted for');

select pg_temp.pay('own', 'prod_big'), pg_temp.change('own', 16, 'prod_some'), pg_temp.refund('own', 17, 500);
select is(pg_temp.balance('own'), 275::numeric, 'with nothing clawed back by hand, half of a lesser plan is refunded');
select results_eq($$ select string_agg(reason, ' ' order by id) from public.credit_transactions where workspace_id = tests.id('own') $$,
  array['subscription plan_change refund'], 'each for its reason');
select pg_temp.change('own', 20, 'prod_big');
select is(pg_temp.balance('own'), 275::numeric, 'more of it comes once it is paid for');
select pg_temp.pay_change('own', 16, 'prod_big', 0);
select is(pg_temp.balance('own'), 500::numeric, 'half of the plan');
select pg_temp.change('own', 26, 'prod_some');
select is((select reason from public.credit_transactions where id = tests.last_entry('own')), 'plan_change',
  'a lesser plan after a refund is no refund');

select pg_temp.pay('both', 'prod_big'), pg_temp.change('both', 16, 'prod_some'), pg_temp.claw_back('both', 550);
select pg_temp.refund('both', 18, 250), pg_temp.refund('both', 19, 250, 'failed');
select is(pg_temp.balance('both'), 137.5, 'what counted for a refund that failed comes back');
select pg_temp.pay_change('both', 16, 'prod_big');
select is(pg_temp.balance('both'), 587.5, 'and a change of plan gives back what a change of plan took');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
