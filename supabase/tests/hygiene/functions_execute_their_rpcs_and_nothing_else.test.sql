-- The role that functions connect as. Which rpcs it executes, a test of tests/database compares with their sources.
begin;
select plan(6);
select tests.hide_yours();
-- What is made later is no different.
set local role postgres;
create table public.made_later (id integer generated always as identity);
create table private.made_later (id integer generated always as identity);
create view public.seen_later with (security_invoker = on) as select id from public.made_later;
reset role;

select results_eq($$
  select rolcanlogin, rolsuper or rolinherit or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
  from pg_catalog.pg_roles where rolname = 'basemeter_functions'
$$, $$ values (true, false) $$, 'it may log in, and has no power of a role''s own');

select is_empty($$
  select m.roleid::regrole from pg_catalog.pg_auth_members m where m.member = 'basemeter_functions'::regrole
$$, 'it is a member of no role');

select is_empty($$
  select c.oid::regclass from pg_catalog.pg_class c
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't' and c.relnamespace not in ('pg_catalog'::regnamespace,
      'information_schema'::regnamespace, 'extensions'::regnamespace)
    and not exists (select from pg_catalog.pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    and (has_table_privilege('basemeter_functions', c.oid,
        'select, insert, update, delete, truncate, references, trigger')
      or has_any_column_privilege('basemeter_functions', c.oid, 'select, insert, update, references'))
$$, 'it reads and writes not a single table or view');

select is_empty($$
  select c.oid::regclass from pg_catalog.pg_class c
  where c.relpersistence <> 't' and has_schema_privilege('basemeter_functions', c.relnamespace, 'usage')
    and case c.relkind when 'S' then has_sequence_privilege('basemeter_functions', c.oid, 'usage, select, update') end
$$, 'nor a sequence');

select set_eq($$
  select n.nspname from pg_catalog.pg_namespace n
  where n.nspname in ('public', 'private', 'auth', 'storage')
    and has_schema_privilege('basemeter_functions', n.oid, 'usage')
$$, array['public'], 'of the schemas it looks into public alone');

select is_empty($$
  select p.oid::regprocedure from pg_catalog.pg_proc p
  where p.pronamespace = 'public'::regnamespace and has_function_privilege('basemeter_functions', p.oid, 'execute')
    and not (p.prosecdef and has_function_privilege('service_role', p.oid, 'execute'))
$$, 'what it executes the service role may as well, and runs with its owner''s rights');

select * from finish();
rollback;
