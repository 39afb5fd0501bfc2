-- Schemas and privileges.
-- `public` is the API and nothing else; `private` holds what must not be reachable through it.
-- Nothing is reachable unless a later chapter grants it: defaults that some projects have (everything on new objects
-- in public is open to the API roles) are taken back here, so that both kinds of project end with the same privileges.

create extension if not exists pgcrypto with schema extensions;

create schema private;
comment on schema private is 'Helpers, trigger functions, partitions and counters: not part of the API.';
revoke all on schema private from public;
grant usage on schema private to authenticated, service_role; -- policies and functions call helpers here

-- Without `in schema`: PUBLIC's right to execute is a database-wide default, which a schema-wide revoke leaves alone.
alter default privileges revoke execute on functions from public;
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
-- Types carry no data: usage on them stays with PUBLIC, or clients could not name them.

grant usage on schema public to anon, authenticated, service_role;

-- As whom functions connect to Postgres where they do (BASEMETER_DB_URL). It executes the rpcs that they call, of which
-- each has its grant beside it, and does nothing else: it reads no table and is no other role's member. It has no
-- password until the operator gives it one. Roles belong to the server, so a database made again may find it there.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'basemeter_functions') then
    create role basemeter_functions login noinherit;
  end if;
end;
$$;
grant usage on schema public to basemeter_functions;
-- A function has few connections: while a call waits for a lock in one of them, no other call can use it.
alter role basemeter_functions set lock_timeout = '2s';
