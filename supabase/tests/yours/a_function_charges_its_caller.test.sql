-- A template to copy. In your project its first part is a migration of yours (docs/extending.md), and your test begins after
-- it. Here the transaction makes it, in place of one of the same names, and takes it back.
begin;
select plan(8);
drop schema if exists app cascade;
drop table if exists public.reports cascade;
drop function if exists public.make_report(text, text);

-- Your migration -------------------------------------------------------------------------------------------------------------
create schema app; -- what is not in the API
grant usage on schema app to authenticated;

create table public.reports (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users on delete cascade,
  title text not null
);
create index reports_user_id_idx on public.reports (user_id);
alter table public.reports enable row level security;
create policy "people can read their own reports" on public.reports
  for select to authenticated using ((select auth.uid()) = user_id);
grant select on public.reports to authenticated, service_role;

-- With its owner's rights it may move credits and write the table; so it checks who calls.
create function app.make_report(title text, idempotency_key text) returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  caller_id uuid := private.my_account(); -- an error for anonymous callers and disabled accounts
  report_id uuid;
begin
  perform public.debit_user_credits_transaction(caller_id, 2, 'generation', description => 'a report',
    idempotency_key => make_report.idempotency_key);
  insert into public.reports (user_id, title) values (caller_id, make_report.title) returning id into report_id;
  return report_id;
end;
$$;
grant execute on function app.make_report to authenticated;

-- What clients call has its caller's rights and does nothing else.
create function public.make_report(title text, idempotency_key text default null) returns uuid
language sql set search_path = ''
as $$ select app.make_report(title, idempotency_key) $$;
grant execute on function public.make_report to authenticated;
-- Your test ----------------------------------------------------------------------------------------------------------------

select tests.create_user('ana'), tests.create_user('ben'); -- each has the 3 credits of a new account

select tests.sign_in('ana');
select isnt(public.make_report('first'), null, 'a signed-in person gets a report');
select is(tests.wallet('ana'), 'balance 1, total 3, spent 2, expired 0, held 0', 'and is charged');
select throws_ok($$ select public.make_report('second') $$, 'PT402', 'insufficient_credits', 'without credits there is none');
select is((select count(*) from public.reports), 1::bigint, 'and no row');

select tests.sign_in('ben');
select is((select count(*) from public.reports), 0::bigint, 'a stranger does not see it');
select throws_ok($$ insert into public.reports (user_id, title) values (tests.id('ben'), 'free') $$, '42501', null,
  'and nobody writes one without paying');
select tests.be_anonymous();
select throws_ok($$ select public.make_report('third') $$, '42501', null, 'who is not signed in may not call it');

select tests.be_postgres();
select is_empty('select * from public.verify_credits()', 'every balance agrees with the ledger');

select * from finish();
rollback;
