-- A project's defaults may open everything new in public; ours take that back, whoever forgets a grant.
begin;
select plan(3);
create table public.made_later (id bigint generated always as identity primary key);
create view public.seen_later as select 1 as one;
create function public.called_later() returns integer language sql set search_path = '' as 'select 1';
create function private.called_inside_later() returns integer language sql set search_path = '' as 'select 1';

select is_empty($$
  select r.rolname, t.name
  from unnest(array['anon', 'authenticated', 'service_role']) r (rolname)
  cross join unnest(array['public.made_later', 'public.seen_later']) t (name)
  where has_table_privilege(r.rolname, t.name, 'select, insert, update, delete, truncate, references, trigger')
$$, 'tables and views');
select is_empty($$
  select r.rolname, f.name
  from unnest(array['anon', 'authenticated', 'service_role']) r (rolname)
  cross join unnest(array['public.called_later()', 'private.called_inside_later()']) f (name)
  where has_function_privilege(r.rolname, f.name, 'execute')
$$, 'functions');
select is_empty($$
  select r.rolname from unnest(array['anon', 'authenticated', 'service_role']) r (rolname)
  where has_sequence_privilege(r.rolname, 'public.made_later_id_seq', 'usage, select, update')
$$, 'sequences');

select * from finish();
rollback;
