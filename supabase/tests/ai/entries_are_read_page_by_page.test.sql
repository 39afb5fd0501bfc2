begin;
select plan(31);
select tests.create_user('ann'), tests.create_user('adam'), tests.create_user('mel'), tests.create_user('stranger');
select tests.create_team('team');
select tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'adam', 'admin'), tests.join_team('team', 'mel');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('ann'), 100, 'purchase', workspace_id => tests.id('team'), at => '2026-01-01');
select public.debit_user_credits_transaction(tests.id('ann'), 5, 'generation', '{"model": "one", "request_id": "first"}', tests.id('team'),
  feature_code => 'text_chat', at => '2026-01-02');
select public.debit_user_credits_transaction(tests.id('mel'), 6, 'generation', '{"model": "two"}', tests.id('team'), feature_code => 'embedding', at => '2026-01-03');
select tests.remember('six', tests.last_entry('team'));
select public.debit_user_credits_transaction(tests.id('mel'), 7, 'session_fee', '{"request_id": "second"}', tests.id('team'), at => '2026-01-04');
select tests.remember('seven', tests.last_entry('team'));
select public.refund_user_credits(tests.id('ann'), 2, 'refund', workspace_id => tests.id('team'), transaction_id => tests.recall('six')::bigint, at => '2026-01-05');
select public.refund_user_credits(tests.id('ann'), 7, 'refund', workspace_id => tests.id('team'), transaction_id => tests.recall('seven')::bigint, at => '2026-01-06');
select public.refund_user_credits(tests.id('ann'), 1, 'refund', workspace_id => tests.id('team'), at => '2026-01-06');
select tests.be_postgres();
-- The calls that they paid for: one took a minute, and another has the same request id.
insert into private.ai_usage_logs (workspace_id, user_id, scene, status, model, request_id, reference_id, created_at, duration)
values (tests.id('team'), tests.id('ann'), 'text_chat', 'success', 'one', 'first', 'order-1', '2026-01-02', 5),
  (tests.id('team'), tests.id('mel'), 'video_generation', 'success', 'one', 'second', 'order-1', '2026-01-04 00:01', 60000),
  (tests.id('team'), tests.id('mel'), 'video_generation', 'refused', 'one', 'second', 'order-1', '2026-01-04 00:00', null),
  (tests.id('team'), tests.id('ann'), 'text_chat', 'success', 'one', 'first', 'order-2', '2026-01-09', 5);
select tests.be_service();

-- What a call shows, in words: amounts and what became of them.
create function pg_temp.listed(filters text default '') returns text
language plpgsql as $$
declare
  words text;
begin
  execute format('select string_agg(concat_ws('' '', trim_scale(amount), status, trim_scale(nullif(refunded_amount, 0))), '', '')
    from public.credit_history(tests.id(''team'')%s)', ', ' || nullif(filters, '')) into words;
  return words;
end;
$$;
grant execute on function pg_temp.listed to public;

select is(pg_temp.listed(), '1, 7, 2, -7 refunded 7, -6 partially_refunded 2, -5 succeeded, 100',
  'newest first; a debit says what was given back of it');
select is((select array_agg(trim_scale(refunded_amount)) from public.credit_history(tests.id('team'))), array[null, null, null, 7, 2, 0, null]::numeric[],
  'other entries say nothing of that');
select public.refund_user_credits(tests.id('ann'), 4, 'refund', workspace_id => tests.id('team'), transaction_id => tests.recall('six')::bigint, at => '2026-01-07');
select is(pg_temp.listed($$ status => 'refunded' $$), '-7 refunded 7, -6 refunded 6', 'several refunds of a debit add up');
select is(pg_temp.listed($$ status => 'succeeded' $$), '-5 succeeded', 'what became of a debit is a filter');
select is(pg_temp.listed($$ transaction_type => 'debit' $$), '-7 refunded 7, -6 refunded 6, -5 succeeded', 'so is the type');
select is(pg_temp.listed($$ reason => 'session_fee' $$), '-7 refunded 7', 'the reason');
select is(pg_temp.listed($$ scene => 'text_chat' $$), '-5 succeeded', 'the scene');
select is(pg_temp.listed($$ model => 'two' $$), '-6 refunded 6', 'the model');
select is(pg_temp.listed($$ reference_id => 'order-1' $$), '-7 refunded 7, -5 succeeded', 'the reference');
select is(pg_temp.listed($$ reference_id => 'order-2' $$), null, 'which is a call''s, at its time');
select is(pg_temp.listed($$ user_id => tests.id('mel'), transaction_type => 'debit' $$), '-7 refunded 7, -6 refunded 6', 'the person');
select is(pg_temp.listed($$ reference_id => 'order-1', user_id => tests.id('ann') $$), '-5 succeeded', 'several of them');
select is(pg_temp.listed($$ "from" => '2026-01-02', "to" => '2026-01-03' $$), '-5 succeeded', 'and a span of time, whose end is not in it');
select tests.be_postgres();
insert into public.spending_limits (workspace_id, spender_id, spender_kind) values (tests.id('team'), tests.id('a key'), 'api_key');
select tests.be_service();
select tests.remember('hold', (public.hold_credits(tests.id('ann'), 3, 'generation', workspace_id => tests.id('team'),
  spender_id => tests.id('a key'), at => '2026-01-09')).hold_id);
select public.settle_credit_hold(tests.recall('hold')::uuid, 3, at => '2026-01-09');
select is(pg_temp.listed($$ api_key_id => tests.id('a key') $$), '-3 succeeded', 'a key is a filter too');

select is((select array_agg(trim_scale(amount)) from public.credit_history(tests.id('team'), max_rows => 2)), array[-3, 4]::numeric[], 'a page has so many');
select results_eq($$
  with first as (select * from public.credit_history(tests.id('team'), max_rows => 4))
  select id from first union all
  select n.id from (select min(id) from first where created_at = (select min(created_at) from first)) l (id), public.credit_history(tests.id('team'), l.id) n
$$, $$ select id from public.credit_transactions where workspace_id = tests.id('team') order by created_at desc, id desc $$,
  'the next begins behind the last of it, also between two of one instant');
select throws_ok($$ select public.credit_history(tests.id('team'), max_rows => 201) $$, 'PT400', 'invalid_request', 'a page has 200 at most');
select throws_ok($$ select public.credit_history(tests.id('team'), max_rows => 0) $$, 'PT400', 'invalid_request', 'and one at least');
select throws_ok($$ select public.credit_history(tests.id('team'), max_rows => null) $$, 'PT400', 'invalid_request', 'of a number');
select throws_ok($$ select public.credit_history(tests.id('team'), 0) $$, 'PT404', 'not_found', 'a cursor is an entry');
select throws_ok($$ select public.credit_history(tests.id('ann'), tests.recall('six')::bigint) $$, 'PT404', 'not_found', 'of this workspace');
select throws_ok($$ select public.credit_history(tests.id('nowhere')) $$, 'PT404', 'not_found', 'a workspace that is not there is not found');
select throws_ok($$ select public.credit_history() $$, 'PT404', 'not_found', 'and the service role has none of its own');

select tests.sign_in('ann');
select is((select array_agg(id) from public.credit_history(tests.id('team'))), (select array_agg(id order by created_at desc, id desc)
  from public.credit_transactions where workspace_id = tests.id('team')), 'an owner reads what the table shows them');
select is((select count(*) from public.credit_history()), 1::bigint, 'without a workspace, of their own');
select tests.sign_in('adam');
select is((select array_agg(balance_after) from public.credit_history(tests.id('team'))), (select array_agg(balance_after::numeric order by created_at desc, id desc)
  from public.credit_transactions where workspace_id = tests.id('team')), 'an admin too, with the balance');
select tests.sign_in('mel');
select results_eq($$ select id, metadata from public.credit_history(tests.id('team')) $$,
  $$ select id, metadata from public.my_credit_transactions(tests.id('team')) order by created_at desc, id desc $$, 'a member reads their own');
select is((select count(balance_after) from public.credit_history(tests.id('team'))), 0::bigint, 'without the balance');
select is(pg_temp.listed($$ user_id => tests.id('ann') $$), null, 'and nobody else''s');
select tests.sign_in('stranger');
select throws_ok($$ select public.credit_history(tests.id('team')) $$, 'PT404', 'not_found', 'to a stranger the team is not there');
select tests.be_anonymous();
select throws_ok($$ select public.credit_history(tests.id('team')) $$, '42501', null, 'without sign-in there is nothing to read');

select * from finish();
rollback;
