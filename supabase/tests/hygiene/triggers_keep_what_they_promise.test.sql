begin;
select plan(4);
select tests.hide_yours();

-- The tables that the deletion of an account deletes from ('c') or writes to ('n').
create view pg_temp.reached as
with recursive reached (table_id, verb) as (
  select 'auth.users'::regclass::oid, 'c'::"char"
  union
  select f.conrelid, f.confdeltype from reached r
  join pg_catalog.pg_constraint f on f.confrelid = r.table_id and f.contype = 'f' and r.verb = 'c'
  where f.confdeltype in ('c', 'n')
)
select * from reached;

select set_has($$ select format('%s %s', table_id::regclass, verb) from pg_temp.reached $$, $$
  values ('users c'), ('workspaces c'), ('credit_wallets c'), ('credit_transactions c'), ('credit_transactions n'),
    ('private.ai_usage_logs n')
$$, 'the deletion of an account reaches what it should');

-- Bits of tgtype: 8 is DELETE, 16 UPDATE. The last one touches nothing but the row in its hands.
select is_empty($$
  select t.tgrelid::regclass, t.tgname from pg_temp.reached r
  join pg_catalog.pg_trigger t on t.tgrelid = r.table_id and not t.tgisinternal
  join pg_catalog.pg_proc p on p.oid = t.tgfoid
  where t.tgtype & (case r.verb when 'c' then 8 else 16 end) <> 0 and not p.prosecdef and p.proname <> 'set_updated_at'
    and p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
$$, 'triggers that it fires are definers: there they run as the sign-in service');

select is_empty($$
  select a.attrelid::regclass from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p')
  where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and a.attname = 'updated_at'
    and not exists (
      select from pg_catalog.pg_trigger t
      where t.tgrelid = a.attrelid and t.tgfoid = 'private.set_updated_at'::regproc and t.tgenabled = 'O'
        and t.tgtype & 19 = 19 -- for each row, before, update
    )
$$, 'every updated_at is kept by the one trigger');

select is_empty($$
  select t.tgrelid::regclass, t.tgname from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
  where not t.tgisinternal and t.tgparentid = 0
    and p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and t.tgname !~ ('^' || (select relname from pg_catalog.pg_class where oid = t.tgrelid) || '_[a-z_]+$')
$$, 'a trigger is named after its table and what it does');

select * from finish();
rollback;
