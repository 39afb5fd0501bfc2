begin;
select plan(4);
select tests.hide_yours();

select is_empty($$
  select c.oid::regclass from pg_catalog.pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity
$$, 'every table in public has row level security on');

select is_empty($$
  select c.oid::regclass from pg_catalog.pg_class c
  where c.relnamespace = 'public'::regnamespace and (c.relispartition and c.relkind in ('r', 'p')
    or c.relkind in ('m', 'f'))
$$, 'no partition, materialised view or foreign table is in public: policies would not hold there');

select is_empty($$
  select c.oid::regclass from pg_catalog.pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
    and not coalesce(c.reloptions, '{}') && array['security_invoker=true', 'security_invoker=on']
$$, 'every view in public has its reader''s rights');

select is_empty($$
  select c.relname from pg_catalog.pg_class c join pg_catalog.pg_inherits i on i.inhrelid = c.oid
  where i.inhparent = 'private.ai_usage_logs'::regclass and c.relnamespace <> 'private'::regnamespace
$$, 'the partitions of the usage log are in private');

select * from finish();
rollback;
