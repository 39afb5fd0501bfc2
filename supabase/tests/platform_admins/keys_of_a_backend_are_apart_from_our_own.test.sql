begin;
select plan(6);
select tests.create_guest('guest');
select tests.create_user('boss');
update public.users set role = 'admin' where id = tests.id('boss');

select public.credit_user_credits_transaction(tests.id('guest'), 1, 'gift', idempotency_key => key)
from unnest(array['signup', 'admin:k']) key;
select is(tests.wallet('guest'), 'balance 2, total 2, spent 0, expired 0, held 0', 'a backend names its requests as it likes');
update auth.users set email = 'guest@example.test', is_anonymous = false where id = tests.id('guest');
select is(tests.wallet('guest'), 'balance 5, total 5, spent 0, expired 0, held 0', 'and the sign-up credits come all the same');
update auth.users set email = 'guest2@example.test' where id = tests.id('guest');
select is(tests.wallet('guest'), 'balance 5, total 5, spent 0, expired 0, held 0', 'once');

select tests.sign_in('boss');
select lives_ok($$ select public.admin_adjust_credits(tests.id('guest'), 1, 'A gesture.', 'k') from generate_series(1, 2) $$, 'an admin''s key is another one');
select tests.be_postgres();
select is(tests.wallet('guest'), 'balance 6, total 6, spent 0, expired 0, held 0', 'and works once');
select throws_ok($$ select public.hold_credits(tests.id('guest'), 1, 'test', idempotency_key => 'basemeter:admin:k') $$, 'PT400', 'invalid_request',
  'nobody else can use those of our own');
select * from finish();
rollback;
