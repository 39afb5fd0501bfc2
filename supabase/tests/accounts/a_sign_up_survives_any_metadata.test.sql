begin;
select plan(10);

select tests.create_user('no metadata', metadata => null);
select is(tests.ledger('no metadata'), 'credit 3 signup', 'none at all');
select tests.create_user('json null', metadata => 'null');
select is(tests.ledger('json null'), 'credit 3 signup', 'a JSON null');
select tests.create_user('list', metadata => '[{"full_name": "x"}]');
select is(tests.ledger('list'), 'credit 3 signup', 'a list');
select tests.create_user('text', metadata => '"full_name"');
select is(tests.ledger('text'), 'credit 3 signup', 'a text');

select tests.create_user('objects',
  metadata => '{"full_name": {"first": "x"}, "avatar_url": ["a"], "name": 5, "picture": true}');
select is(tests.ledger('objects'), 'credit 3 signup', 'objects where texts belong');
select tests.create_user('long',
  metadata => jsonb_build_object('full_name', repeat('n', 10000000), 'avatar_url',
  'https://' || repeat('a', 10000000)));
select is((select length(full_name) from public.users where id = tests.id('long')), 200,
  'a name of ten million characters is cut');
select tests.create_user('script', metadata => '{"avatar_url": "javascript:alert(1)"}');
select is((select avatar_url from public.users where id = tests.id('script')), null,
  'a picture that is no web address is left out');

select tests.create_user('provider', metadata => '{"name": "From Provider", "picture": "http://example.test/p.png"}');
select is((select full_name || ' ' || avatar_url from public.users where id = tests.id('provider')),
  'From Provider http://example.test/p.png', 'a provider''s names for them');
select tests.create_user('empty address', '');
select is((select email from public.users where id = tests.id('empty address')), null, 'an empty address is none');

select is_empty('select * from private.account_failures', 'nothing failed');

select * from finish();
rollback;
