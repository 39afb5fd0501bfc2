begin;
select plan(16);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_user('cal');
select tests.create_team('passed'), tests.join_team('passed', 'ann', 'owner'), tests.join_team('passed', 'cal'),
  tests.join_team('passed', 'ben', 'admin');
select tests.create_team('small'), tests.join_team('small', 'ann', 'owner'), tests.join_team('small', 'cal');
select tests.create_team('alone'), tests.join_team('alone', 'ann', 'owner');
select tests.create_user('off');
update public.users set is_active = false where id = tests.id('off');
select tests.create_team('asleep'), tests.join_team('asleep', 'ann', 'owner'), tests.join_team('asleep', 'off', 'admin'), tests.join_team('asleep', 'cal');
select tests.create_team('frozen'), tests.join_team('frozen', 'ann', 'owner'), tests.join_team('frozen', 'off');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('ann'), 10, 'manual', workspace_id => tests.id('passed'));
select public.debit_user_credits_transaction(tests.id('ann'), 4, 'generation', workspace_id => tests.id('passed'));
select tests.be_postgres();
delete from auth.users where id = tests.id('ann');
select is((select string_agg(user_id::text, ' ') from public.workspace_members where workspace_id = tests.id('passed') and role = 'owner'),
  tests.id('ben')::text, 'a team passes to its admin');
select is((select string_agg(user_id::text, ' ') from public.workspace_members where workspace_id = tests.id('small') and role = 'owner'),
  tests.id('cal')::text, 'else to its oldest member');
select is((select string_agg(user_id::text, ' ') from public.workspace_members where workspace_id = tests.id('asleep') and role = 'owner'),
  tests.id('cal')::text, 'to one whose account is active, if there is one');
select is((select string_agg(user_id::text, ' ') from public.workspace_members where workspace_id = tests.id('frozen') and role = 'owner'),
  tests.id('off')::text, 'else to one whose is not');
select is_empty(format('select * from public.workspaces where id = %L', tests.id('alone')), 'one with nobody else goes');
select is(tests.wallet('passed'), 'balance 6, total 10, spent 4, expired 0, held 0', 'the ledger stays');
select results_eq(format('select amount::numeric, user_id from public.credit_transactions where workspace_id = %L order by id', tests.id('passed')),
  $$ values (10::numeric, null::uuid), (-4, null) $$, 'without the person');
select tests.create_user('dan');
select tests.join_team('passed', 'dan');
insert into public.api_keys (workspace_id, user_id, name, prefix) values (tests.id('passed'), tests.id('dan'), 'k', 'sk-');
insert into private.api_key_hashes (key_hash, api_key_id) select sha256('secret'), id from public.api_keys where name = 'k';
select tests.create_user('fay');
select tests.join_team('passed', 'fay', 'admin');
select tests.sign_in('ben');
select tests.remember('bens', to_jsonb(public.create_api_key('bens', tests.id('passed'))) ->> 'id');
select tests.sign_in('fay');
select tests.remember('rotated', to_jsonb(public.rotate_api_key(tests.recall('bens')::uuid)) ->> 'key');
select public.invite_member(tests.id('passed'), 'fay2@example.test', 'admin');
select tests.be_postgres();
select lives_ok(format('select private.api_key_of(encode(sha256(%L), ''hex''), now())', tests.recall('rotated')), 'an admin rotates a key');
select tests.sign_in('ben');
select public.set_member_role(tests.id('passed'), tests.id('fay'), 'member');
select tests.be_postgres();
select throws_ok(format('select private.api_key_of(encode(sha256(%L), ''hex''), now())', tests.recall('rotated')), 'PT401', 'invalid_api_key',
  'and loses the secret they were shown with the role');
select isnt((select revoked_at from public.workspace_invitations where email = 'fay2@example.test'), null, 'as do whom they have invited');
select tests.sign_in('ben');
select public.remove_member(tests.id('passed'), tests.id('dan'));
select tests.be_postgres();
select isnt((select revoked_at from public.api_keys where name = 'k'), null, 'the keys of who is removed are revoked');
select is_empty($$ select * from private.api_key_hashes where key_hash = sha256('secret') $$, 'and gone');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select tests.create_user('gus');
select tests.join_team('passed', 'gus', 'admin');
select tests.sign_in('ben');
select tests.remember('another', to_jsonb(public.create_api_key('another', tests.id('passed'))) ->> 'id');
select tests.sign_in('gus');
select tests.remember('shown', to_jsonb(public.rotate_api_key(tests.recall('another')::uuid)) ->> 'key');
select public.invite_member(tests.id('passed'), 'gus2@example.test');
select tests.be_postgres();
delete from auth.users where id = tests.id('gus');
select throws_ok(format('select private.api_key_of(encode(sha256(%L), ''hex''), now())', tests.recall('shown')), 'PT401', 'invalid_api_key',
  'the secrets of a deleted admin end');
select is((select revoked_at from public.api_keys where id = tests.recall('another')::uuid), null, 'the key that somebody else made stays');
select isnt((select revoked_at from public.workspace_invitations where email = 'gus2@example.test'), null, 'whom they invited is not invited any more');

select * from finish();
rollback;
