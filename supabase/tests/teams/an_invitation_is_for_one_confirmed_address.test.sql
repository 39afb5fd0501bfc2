begin;
select plan(23);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_user('cal'), tests.create_user('dan'), tests.create_user('eve');
update auth.users set email_confirmed_at = now() where id <> tests.id('ben');
select tests.sign_in('ann');
select tests.remember('team', to_jsonb(public.create_workspace('Team')) ->> 'id');
select tests.remember('token', to_jsonb(public.invite_member(tests.recall('team')::uuid, 'Ben@example.test')) ->> 'token');
select results_eq('select email, role::text, accepted_at from public.workspace_invitations',
  $$ values ('Ben@example.test', 'member', null::timestamptz) $$, 'an owner sees whom they have invited');
select throws_ok(format('select public.invite_member(%L, %L)', tests.recall('team'), 'ann@example.test'), 'PT409', 'invalid_state',
  'a member is not invited again');
select throws_ok(format('select public.invite_member(%L, %L)', tests.recall('team'), 'nobody'), 'PT400', 'invalid_request', 'nor what is no address');
select throws_ok(format('select public.invite_member(%L, %L, %L)', tests.recall('team'), 'x@example.test', 'owner'), 'PT400',
  'invalid_request', 'nor anyone as owner');
select throws_ok(format('select public.invite_member(%L, %L)', tests.id('ann'), 'x@example.test'), 'PT409', 'invalid_state',
  'nor into a personal workspace');
select throws_ok(format('select public.invite_member(%L, %L, expires_in => %L)', tests.recall('team'), 'x@example.test', '91 days'),
  'PT400', 'invalid_request', 'nor for longer than 90 days');
select throws_ok(format('select public.invite_member(%L, %L, expires_in => %L)', tests.recall('team'), 'x@example.test',
  '12000 mons -360000 days'), 'PT400', 'invalid_request', 'in whatever words');

select tests.sign_in('cal');
select throws_ok(format('select public.accept_invitation(%L)', tests.recall('token')), 'PT404', 'not_found',
  'another account does not accept it, token or not');
select is_empty('select * from public.workspace_invitations', 'nor sees it');
select throws_ok(format('select public.invite_member(%L, %L)', tests.recall('team'), 'cal@example.test'), 'PT404', 'not_found',
  'nor invites themselves');
select tests.sign_in('ben');
select throws_ok(format('select public.accept_invitation(%L)', tests.recall('token')), 'PT404', 'not_found',
  'nor does an account that has not confirmed the address');
select tests.be_postgres();
select is_empty(format('select * from private.invitation_hashes where position(%L in token_hash::text) > 0', tests.recall('token')),
  'the token is kept nowhere');
update auth.users set email_confirmed_at = now() where id = tests.id('ben');
select tests.sign_in('ben');
select is(to_jsonb(public.accept_invitation(tests.recall('token'))) ->> 'role', 'member', 'once it has, it does');
select is(to_jsonb(public.accept_invitation(tests.recall('token'))) ->> 'role', 'member', 'and may say so twice');
select results_eq(format('select count(*)::integer from public.workspace_members where workspace_id = %L', tests.recall('team')),
  array[2], 'they are members then');
select public.leave_workspace(tests.recall('team')::uuid);
select throws_ok(format('select public.accept_invitation(%L)', tests.recall('token')), 'PT409', 'invalid_state',
  'but who has left does not come back by it');

select tests.sign_in('ann');
select tests.remember('first', to_jsonb(public.invite_member(tests.recall('team')::uuid, 'dan@example.test', 'admin')) ->> 'token');
select tests.remember('id', (select id from public.workspace_invitations where email = 'dan@example.test'));
select throws_ok(format('select public.resend_invitation(%L)', tests.recall('id')), 'PT429', 'limit_reached', 'it is not sent again at once');
select tests.be_postgres();
update public.workspace_invitations set sent_at = now() - interval '2 minutes';
update private.invitation_mails set sent_at = now() - interval '2 minutes';
select tests.sign_in('ann');
select tests.remember('second', to_jsonb(public.resend_invitation(tests.recall('id')::uuid)) ->> 'token');
select tests.sign_in('dan');
select throws_ok(format('select public.accept_invitation(%L)', tests.recall('first')), 'PT404', 'not_found', 'sent again, the old token ends');
select tests.sign_in('eve');
select throws_ok(format('select public.revoke_invitation(%L)', tests.recall('id')), 'PT404', 'not_found', 'a stranger revokes none');
select tests.sign_in('ann');
select public.revoke_invitation(tests.recall('id')::uuid);
select throws_ok(format('select public.resend_invitation(%L)', tests.recall('id')), 'PT409', 'invalid_state', 'what is revoked is not sent');
select tests.sign_in('dan');
select throws_ok(format('select public.accept_invitation(%L)', tests.recall('second')), 'PT404', 'not_found', 'nor accepted');

select tests.sign_in('ann');
select tests.remember('late', to_jsonb(public.invite_member(tests.recall('team')::uuid, 'eve@example.test')) ->> 'token');
select tests.be_postgres();
update public.workspace_invitations set expires_at = now() where email = 'eve@example.test';
select tests.sign_in('eve');
select throws_ok(format('select public.accept_invitation(%L)', tests.recall('late')), 'PT409', 'invalid_state', 'nor what has expired');
select tests.be_postgres();
update public.workspace_invitations set expires_at = now() + interval '1 day' where email = 'eve@example.test';
select tests.limit_plans('seats', 1, 'free');
select tests.sign_in('eve');
select throws_ok(format('select public.accept_invitation(%L)', tests.recall('late')), 'PT429', 'limit_reached', 'nor past the seats of the plan');

select * from finish();
rollback;
