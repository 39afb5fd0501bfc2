-- tests/access/functions.md lists who may call what in public; these rules hold for every function.
begin;
select plan(4);
select tests.hide_yours();

create view pg_temp.callable as
select p.oid, p.proname, p.pronamespace, p.prosecdef, r.rolname
from pg_catalog.pg_proc p cross join (values ('anon'), ('authenticated'), ('service_role')) r (rolname)
where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and has_function_privilege(r.rolname, p.oid, 'execute');

-- A definer runs with its owner's rights, past row level security.
select is_empty($$
  select oid::regprocedure, rolname from pg_temp.callable
  where pronamespace = 'public'::regnamespace and prosecdef and rolname <> 'service_role'
$$, 'no client may call a definer in public');

select is_empty($$
  select p.oid::regprocedure from pg_catalog.pg_proc p
  where p.pronamespace = 'private'::regnamespace and p.prosecdef and p.prorettype <> 'trigger'::regtype
    and p.proname <> 'run_due_work' -- a scheduled job calls it
    and not exists (select from pg_temp.callable c where c.oid = p.oid)
$$, 'a definer in private is a trigger, or the API''s roles need it');

-- What has its caller's rights and calls functions in private.
create view pg_temp.callers as
select rolname, oid::regprocedure::text as name, pg_get_functiondef(oid) as source from pg_temp.callable where not prosecdef
union all
select role, policyname, concat(qual, with_check) from pg_catalog.pg_policies, unnest(roles) role
union all
select r.rolname, c.conname, pg_get_constraintdef(c.oid)
from pg_catalog.pg_constraint c cross join (values ('anon'), ('authenticated'), ('service_role')) r (rolname)
where c.contype = 'c' and c.conrelid <> 0
  and has_any_column_privilege(r.rolname, c.conrelid, 'insert, update')
union all -- an index calls its functions as who writes
select r.rolname, i.indexrelid::regclass::text, pg_get_expr(i.indexprs, i.indrelid)
from pg_catalog.pg_index i cross join (values ('anon'), ('authenticated'), ('service_role')) r (rolname)
where i.indexprs is not null and has_any_column_privilege(r.rolname, i.indrelid, 'insert, update')
union all
select r.rolname, v.viewname, v.definition
from pg_catalog.pg_views v cross join (values ('anon'), ('authenticated'), ('service_role')) r (rolname)
where v.schemaname = 'public' and has_table_privilege(r.rolname, format('public.%I', v.viewname), 'select');
select is_empty($$
  select f.oid::regprocedure, f.rolname from pg_temp.callable f
  where f.pronamespace = 'private'::regnamespace and not exists (
    select from pg_temp.callers c
    where c.rolname = f.rolname and c.name <> f.oid::regprocedure::text and c.source ~ format('private\.%s\(', f.proname)
  )
$$, 'a role may call in private what a function, policy, check or view of its own calls, and nothing else');

select is_empty($$
  select p.oid::regprocedure, a.grantee::regrole
  from pg_catalog.pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and (a.grantee not in (p.proowner, 'anon'::regrole, 'authenticated'::regrole, 'service_role'::regrole,
        'basemeter_functions'::regrole)
      or a.is_grantable and a.grantee <> p.proowner)
$$, 'only the API''s roles and the functions'' have rights, not PUBLIC, and nobody may pass one on');

select * from finish();
rollback;
