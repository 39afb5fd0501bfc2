begin;
select plan(4);
select tests.create_guest('broken'), tests.create_guest('fine');
select public.credit_user_credits_transaction(tests.id('broken'), 5, 'manual', expires_at => now() + interval '1 hour');
select public.credit_user_credits_transaction(tests.id('fine'), 5, 'manual', expires_at => now() + interval '1 hour');
create function pg_temp.refuse() returns trigger language plpgsql as $$
begin
  raise exception 'broken';
end;
$$;
do $$
begin
  execute format('create trigger refuse before update on public.credit_grants for each row
    when (old.workspace_id = %L) execute function pg_temp.refuse()', tests.id('broken'));
end;
$$;
set local client_min_messages = error;
select is(private.run_due_work(now() + interval '2 hours'), 1, 'the other is expired');
select is(tests.wallet('fine'), 'balance 0, total 5, spent 0, expired 5, held 0', 'as a whole');
select is(tests.wallet('broken'), 'balance 5, total 5, spent 0, expired 0, held 0', 'the broken one is left as it was');
select is(private.run_due_work(now() + interval '2 hours'), 0, 'and does not keep the sweep busy');

select * from finish();
rollback;
