begin;
select plan(17);

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


select results_eq($$
  select a, private.normalised_email(a) from unnest(array[
    'any.tag@Jane.fastmail.com', 'jane+x@fastmail.com', 'shop@jane.fastmail.com.au', 'jane+x@fastmail.fm',
    'ivan.petrov+x@ya.ru', 'Ivan-Petrov@yandex.com', 'ivan.petrov@yandex.com.tr',
    'jane+x@yahoo.co.uk', 'jane-shop@yahoo.com', 'jane-bank+x@yahoo.com', 'jane+x@ymail.com',
    'jane+x@msn.com', 'jane+x@zoho.eu', 'jane+x@zohomail.com', 'jane+x@mail.ru', 'jane+x@bk.ru', 'jane+x@gmx.de', 'j.a-n_e+x@pm.me'
  ]) a $$, $$ values
    ('any.tag@Jane.fastmail.com', 'jane@fastmail.com'), ('jane+x@fastmail.com', 'jane@fastmail.com'),
    ('shop@jane.fastmail.com.au', 'jane@fastmail.com.au'), ('jane+x@fastmail.fm', 'jane@fastmail.fm'),
    ('ivan.petrov+x@ya.ru', 'ivan-petrov@yandex.ru'), ('Ivan-Petrov@yandex.com', 'ivan-petrov@yandex.ru'),
    ('ivan.petrov@yandex.com.tr', 'ivan-petrov@yandex.ru'),
    ('jane+x@yahoo.co.uk', 'jane@yahoo.co.uk'), ('jane-shop@yahoo.com', 'jane-@yahoo.com'),
    ('jane-bank+x@yahoo.com', 'jane-@yahoo.com'), ('jane+x@ymail.com', 'jane@ymail.com'),
    ('jane+x@msn.com', 'jane@msn.com'), ('jane+x@zoho.eu', 'jane@zoho.eu'), ('jane+x@zohomail.com', 'jane@zohomail.com'),
    ('jane+x@mail.ru', 'jane@mail.ru'), ('jane+x@bk.ru', 'jane@bk.ru'), ('jane+x@gmx.de', 'jane@gmx.de'),
    ('j.a-n_e+x@pm.me', 'jane@proton.me') $$,
  'each provider''s spellings of one mailbox are one');
select is((select count(distinct private.normalised_email(a)) from unnest(array[
    'jane@fastmail.com', 'jane@fastmail.fm', 'ja.ne@fastmail.com', 'shop@jane.example.test', 'jane@example.test',
    'ivan.petrov@yandex.ru', 'ivanpetrov@yandex.ru', 'ivan_petrov@yandex.ru', 'ivan.petrov@yandex.example.test',
    'jane@yahoo.com', 'jane-shop@yahoo.com', 'ja.ne@yahoo.com', 'jane@yahoo.co.uk', 'jane-shop@gmx.de', 'jane@gmx.de', 'jane@gmx.net',
    'ja.ne@mail.ru', 'jane@mail.ru', 'jane@bk.ru', 'jane@zoho.com', 'jane@zohomail.com', 'jane@msn.com', 'ja-ne@msn.com'
  ]) a), 23::bigint, 'and different people''s stay different');

select * from finish();
rollback;
