begin;
select plan(19);
select tests.create_user('owner');
select tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
select tests.sell('prod_pack', 50);
select tests.be_service();
select tests.deliver('evt_1', tests.paid_pack('prod_pack', 'tran_1', 'owner'));

select tests.deliver('evt_2', tests.reversed('tran_1', 1000, 'dispute', 'warning', 'disp_0'));
select is(tests.wallet('owner'), 'balance 53, total 53, spent 0, expired 0, held 0', 'an inquiry changes nothing');
select tests.deliver('evt_3', tests.reversed('tran_1', 1000, 'dispute', 'open', 'disp_1'));
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 0', 'a dispute takes the credits back');
select is((select status::text from public.payments), 'disputed', 'the payment is disputed');
select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 1, 'generation') $$, 'PT403',
  'account_disabled', 'nothing can be spent meanwhile');
select throws_ok($$ select public.hold_credits(tests.id('owner'), 0, 'generation') $$, 'PT403', 'account_disabled', 'or held');
select is(public.admit_ai_call(tests.id('owner'), 'some-model', 1) ->> 'code', 'account_disabled', 'and no call is admitted');
select results_eq($$ select kind from public.admin_notifications $$, array['dispute_opened'], 'admins are told');

select tests.deliver('evt_4', tests.reversed('tran_1', 1000, 'dispute', 'won', 'disp_1'), '2026-01-05');
select is(tests.wallet('owner'), 'balance 53, total 53, spent 0, expired 0, held 0', 'won, the credits come back');
select lives_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 1, 'generation') $$, 'and can be spent');
select tests.deliver('evt_3_late', tests.reversed('tran_1', 1000, 'dispute', 'open', 'disp_1'), '2026-01-03');
select is((select status::text from public.payments), 'succeeded', 'an older word on it changes nothing');

select tests.deliver('evt_5', tests.reversed('tran_1', 1000, 'dispute', 'lost', 'disp_2'), '2026-01-06');
select isnt((select frozen_at from public.credit_wallets where workspace_id = tests.id('owner')), null, 'a lost one freezes on');
select tests.sign_in('owner');
select throws_ok($$ select public.resolve_dispute('creem', 'disp_2', 'lost') $$, 'PT403', 'forbidden', 'until an admin, not its owner,');
select tests.sign_in('admin');
select public.resolve_dispute('creem', 'disp_2', 'lost');
select tests.be_service();
select is(tests.wallet('owner') || ', ' || coalesce((select frozen_at::text from public.credit_wallets
  where workspace_id = tests.id('owner')), 'free'), 'balance 2, total 3, spent 1, expired 0, held 0, free', 'lets it go on');

create function pg_temp.standing() returns text language sql as $$
  select concat_ws(' ', trim_scale(credits_balance), case when frozen_at is not null then 'frozen' end)
  from public.credit_wallets where workspace_id = tests.id('owner') $$;
grant execute on all functions in schema pg_temp to authenticated, service_role;
select tests.sign_in('admin');
select public.resolve_dispute('creem', 'disp_2', 'won');
select tests.be_service();
select is(pg_temp.standing(), '52', 'an admin may think better of it');
select tests.sign_in('admin');
select public.resolve_dispute('creem', 'disp_2', 'lost');
select tests.be_service();
select is(pg_temp.standing(), '2', 'and again');
select tests.deliver('evt_6', tests.reversed('tran_1', 1000, 'dispute', 'open', 'disp_2'), now() + interval '1 minute',
  now() + interval '1 minute');
select is(pg_temp.standing(), '2 frozen', 'a platform may open it once more');
select tests.sign_in('admin');
select public.resolve_dispute('creem', 'disp_2', 'won');
select tests.be_service();
select is(pg_temp.standing(), '52', 'and an admin ends it, though the platform''s clock is ahead');
-- An admin's words of one instant count in the order in which they were said.
create function pg_temp.say(outcome text) returns text language plpgsql as $$
begin
  perform tests.sign_in('admin');
  perform public.resolve_dispute('creem', 'disp_2', outcome, now() + interval '2 minutes');
  perform tests.be_service();
  return pg_temp.standing();
end $$;
select tests.be_postgres();
select is((select string_agg(pg_temp.say(case when n % 2 = 0 then 'won' else 'lost' end), ' ' order by n) from generate_series(1, 8) n),
  '2 52 2 52 2 52 2 52', 'and the last of several words holds');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
