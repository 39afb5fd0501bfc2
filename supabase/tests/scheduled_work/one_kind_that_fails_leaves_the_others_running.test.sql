begin;
select plan(3);
select tests.create_guest('owner');
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'manual', expires_at => now() + interval '1 hour');
create or replace function private.finish_next_lost_ai_call(at timestamptz) returns boolean language plpgsql as $$
begin
  raise exception 'broken';
end;
$$;
set local client_min_messages = error;
select is(private.run_due_work(now() + interval '2 hours'), 1, 'what can be done is done');
select is(tests.wallet('owner'), 'balance 0, total 5, spent 0, expired 5, held 0', 'all of it');
select is(private.run_due_work(now() + interval '2 hours'), 0, 'and the rest does not keep it busy');

select * from finish();
rollback;
