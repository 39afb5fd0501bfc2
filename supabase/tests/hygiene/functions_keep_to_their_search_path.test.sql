begin;
select plan(2);
select tests.hide_yours();

select is_empty($$
  select p.oid::regprocedure, p.proconfig from pg_catalog.pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and not coalesce(p.proconfig, '{}') @> array['search_path=""']
$$, 'every function pins an empty search_path, without exception');

select is_empty($$
  select p.oid::regprocedure from pg_catalog.pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and p.proowner <> (select datdba from pg_catalog.pg_database where datname = current_database())
$$, 'every function belongs to the owner of the database');

select * from finish();
rollback;
