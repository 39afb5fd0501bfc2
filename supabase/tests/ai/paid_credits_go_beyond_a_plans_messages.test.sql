begin;
select plan(9);
select tests.create_user('free');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request, scene) values
  ('chat', 'Chat', 'up', 100, 0.1, 'text_chat');
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.message(n integer, month date default '2026-05-01') returns text language sql as $$
  select coalesce(a ->> 'code', 'admitted') from public.admit_ai_call(tests.id('free'), 'chat', 1, at => month + n * interval '1 hour') a
$$;
select results_eq($$ select pg_temp.message(n) from generate_series(1, 11) n $$,
  array_append(array_fill('admitted'::text, array[10]), 'limit_reached'), 'credits that were given do not go beyond a plan''s messages');
select is((select l.error_message from public.ai_usage_logs l where l.error_code = 'limit_reached'),
  'The plan free allows 10 messages a month without paid credits.', 'and the refusal says what does');
select public.credit_user_credits_transaction(tests.id('free'), 0.1, 'purchase', at => '2026-05-01 12:00+00', expires_at => '2026-05-03 00:00+00');
select is(pg_temp.message(13), 'admitted', 'credits of a pack do');
select is(pg_temp.message(48), 'limit_reached', 'until they expire');
select public.credit_user_credits_transaction(tests.id('free'), 0.1, 'purchase', at => '2026-05-04 00:00+00');
select is(pg_temp.message(73), 'admitted', 'more of them do again');
update public.plans set messages_limit_paid = true where plan = 'free';
select is(pg_temp.message(74), 'limit_reached', 'unless the plan says that it limits them too');
update public.plans set messages_limit_paid = false where plan = 'free';
select public.debit_user_credits_transaction(tests.id('free'), 3.1, 'manual', at => '2026-05-04 03:00+00');
select is((select sum(g.remaining) filter (where g.is_paid) from public.credit_grants g), 0::numeric, 'once they are used');
select is(pg_temp.message(76), 'limit_reached', 'the plan''s messages are what is left');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
