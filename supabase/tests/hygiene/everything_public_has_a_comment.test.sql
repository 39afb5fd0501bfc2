begin;
select plan(4);
select tests.hide_yours();

select is_empty($$
  select c.oid::regclass from pg_catalog.pg_class c
  where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm')
    and not c.relispartition and obj_description(c.oid, 'pg_class') is null
$$, 'every table and view has a comment');

select is_empty($$
  select p.oid::regprocedure from pg_catalog.pg_proc p
  where p.pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') is null
$$, 'every public function has a comment');

-- Row types of tables and the arrays of types come by themselves.
select is_empty($$
  select t.oid::regtype from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
  where t.typnamespace = 'public'::regnamespace and t.typelem = 0 and (c.oid is null or c.relkind = 'c')
    and obj_description(t.oid, 'pg_type') is null
$$, 'every type has a comment');

select is_empty($$
  select c.oid::regclass, c.relname from pg_catalog.pg_class c
  where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
    and obj_description(c.oid, 'pg_class') !~ '^[A-Z].*[.]$'
$$, 'comments are sentences');

select * from finish();
rollback;
