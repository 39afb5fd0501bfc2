begin;
select plan(15);

select tests.create_user('jane', 'Jane.Doe@gmail.com');
select is(tests.ledger('jane'), 'credit 3 signup', 'the first account of a mailbox has credits');
select tests.create_user('case', 'jane.doe@GMAIL.com');
select is(tests.ledger('case'), null, 'not in another case');
select tests.create_user('dots', 'janedoe@gmail.com');
select is(tests.ledger('dots'), null, 'not with other dots at gmail');
select tests.create_user('tag', 'jane.doe+more@gmail.com');
select is(tests.ledger('tag'), null, 'not with a tag at gmail');
select tests.create_user('alias', 'j.a.n.e.doe+x@googlemail.com');
select is(tests.ledger('alias'), null, 'not at another name of gmail');
select is(tests.wallet('alias'), 'balance 0, total 0, spent 0, expired 0, held 0',
  'those have an account and an empty wallet');

select tests.create_user('outlook', 'jane.doe@outlook.com');
select tests.create_user('outlook tag', 'jane.doe+x@outlook.com');
select is(tests.ledger('outlook tag'), null, 'not with a tag at outlook');
select tests.create_user('regional', 'jane.doe@hotmail.co.uk');
select tests.create_user('regional tag', 'jane.doe+x@hotmail.co.uk');
select is(tests.ledger('regional tag'), null, 'nor at its domain of a country');
select tests.create_user('outlook dots', 'janedoe@outlook.com');
select is(tests.ledger('outlook dots'), 'credit 3 signup', 'dots at outlook make another person');
select tests.create_user('own', 'jane+doe@example.test');
select tests.create_user('own tag', 'jane+more@example.test');
select is(tests.ledger('own tag'), 'credit 3 signup', 'tags at an unknown provider do too');

delete from auth.users where id = tests.id('jane');
select tests.create_user('jane again', 'jane.doe@gmail.com');
select is(tests.ledger('jane again'), null, 'not again after the account was deleted');

update auth.users set email = 'away@example.test' where id = tests.id('own');
update auth.users set email = 'jane+doe@example.test' where id = tests.id('own');
select is(tests.ledger('own'), 'credit 3 signup', 'not by changing the address back and forth');
select tests.create_user('in passing', 'away@example.test');
select is(tests.ledger('in passing'), null, 'an address that an account had in passing counts as used');

select is_empty($$ select from private.signup_claims
  where encode(identity_hash, 'escape') ~* 'jane' or length(identity_hash) <> 32 $$,
  'what outlives the account is a keyed hash');
select is(private.normalised_email('no address'), null, 'what is no address has no mailbox');

select * from finish();
rollback;
