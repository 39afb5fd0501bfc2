begin;
select plan(4);
select tests.create_user('owner');
create function pg_temp.caught(call text) returns jsonb
language plpgsql as $$
declare
  state text;
  message text;
  detail text;
  hint text;
begin
  execute call;
  return null;
exception when others then
  get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail,
    hint = pg_exception_hint;
  return jsonb_build_object('state', state, 'message', message, 'detail', detail, 'hint', hint);
end;
$$;

select is(pg_temp.caught($$ select public.debit_user_credits_transaction(tests.id('owner'), 3.5, 'generation') $$),
  '{"state": "PT402", "message": "insufficient_credits", "detail": "3.5 credits are needed and 3 are available.",
    "hint": "Add credits, or ask for less."}'::jsonb, 'the detail has the numbers, the hint a way out');
select is(pg_temp.caught($$ select public.debit_user_credits_transaction(tests.id('owner'), 'NaN',
  'x') $$) ->> 'detail',
  'amount must be a number above 0 with at most six decimals, not NaN.', 'what is off is named');

-- Only this form lets PostgREST answer with a header.
select tests.remember('limit',
  pg_temp.caught($$ select private.raise_error('rate_limited', 'Too many.', 'Wait.', 7) $$));
select is((tests.recall('limit')::jsonb ->> 'message')::jsonb,
  '{"code": "rate_limited", "message": "rate_limited", "details": "Too many.", "hint": "Wait."}'::jsonb,
  'a limit has the same code and words');
select is((tests.recall('limit')::jsonb ->> 'state') || (tests.recall('limit')::jsonb ->> 'detail')::jsonb,
  'PGRST{"status": 429, "headers": {"Retry-After": "7"}}', 'and says when to try again');

select * from finish();
rollback;
