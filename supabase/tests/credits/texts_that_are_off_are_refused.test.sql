begin;
select plan(55);
select tests.create_user('owner');
select tests.be_service();
select tests.remember('grant', (public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase')).grant_id);
select tests.remember('hold', (public.hold_credits(tests.id('owner'), 1, 'generation')).hold_id);

select throws_ok(format(call, arguments), 'PT400', 'invalid_request', format(call, left(arguments, 60)))
from (values
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), 1, %s) $$),
  ($$ select public.debit_user_credits_transaction(tests.id('owner'), 1, %s) $$),
  ($$ select public.refund_user_credits(tests.id('owner'), 1, %s) $$),
  ($$ select public.clawback_credits(tests.recall('grant')::uuid, 1, %s) $$),
  ($$ select public.hold_credits(tests.id('owner'), 1, %s) $$)
) c (call)
cross join (values
  ('null'), ($a$ '' $a$), ($a$ ' ' $a$), (quote_literal(repeat('r', 101))),
  ($a$ 'manual', null $a$), ($a$ 'manual', '[]' $a$), ($a$ 'manual', '"text"' $a$),
  -- Hashes, because what is measured is what is stored: compressed.
  ($a$ 'manual', $a$ || quote_literal(jsonb_build_object('x',
    (select string_agg(md5(n::text), '') from generate_series(1, 1200) n)))),
  ($a$ 'manual', idempotency_key => '' $a$), ($a$ 'manual', idempotency_key => repeat('k', 256) $a$),
  ($a$ 'manual', idempotency_key => 'basemeter:signup' $a$)
) a (arguments);

select * from finish();
rollback;
