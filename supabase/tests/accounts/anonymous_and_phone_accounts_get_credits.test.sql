begin;
select plan(9);

select tests.create_user('guest', null, is_anonymous => true);
select is(tests.wallet('guest'), 'balance 0, total 0, spent 0, expired 0, held 0',
  'an anonymous account starts with nothing');
-- Supabase Auth writes the address a step after it ended the anonymity.
update auth.users set is_anonymous = false where id = tests.id('guest');
select is(tests.ledger('guest'), null, 'still nothing while it has no address');
update auth.users set email = 'guest@example.test' where id = tests.id('guest');
select is(tests.ledger('guest'), 'credit 3 signup', 'and gets its credits when it becomes a real one');
update auth.users set is_anonymous = true where id = tests.id('guest');
update auth.users set is_anonymous = false where id = tests.id('guest');
select is(tests.ledger('guest'), 'credit 3 signup', 'once');

select tests.create_user('second guest', null, is_anonymous => true);
update auth.users set email = 'GUEST@example.test', is_anonymous = false where id = tests.id('second guest');
select is(tests.ledger('second guest'), null, 'not for a mailbox that had them');

select tests.create_user('third guest', 'third@example.test', is_anonymous => true);
update auth.users set is_anonymous = false where id = tests.id('third guest');
select is(tests.ledger('third guest'), 'credit 3 signup', 'whichever of the two comes first');

insert into auth.users (id, phone) values (tests.id('caller'), '491700000001');
select is(tests.ledger('caller'), 'credit 3 signup', 'a phone account has them');
select is((select phone from public.users where id = tests.id('caller')), '491700000001',
  'and its number on the profile');
delete from auth.users where id = tests.id('caller');
insert into auth.users (id, phone) values (tests.id('caller again'), '491700000001');
select is(tests.ledger('caller again'), null, 'once a number');

select * from finish();
rollback;
