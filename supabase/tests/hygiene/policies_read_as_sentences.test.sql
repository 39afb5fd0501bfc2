begin;
select plan(5);
select tests.hide_yours();

select is_empty($$
  select tablename, policyname from pg_catalog.pg_policies
  where schemaname = 'public' and policyname !~ '^[a-z][a-z'', ]+ (can|may) [a-z]+ .{5,}$'
$$, 'a policy''s name says who can do what');

select is_empty($$
  select tablename, cmd, role from pg_catalog.pg_policies, unnest(roles) role
  where schemaname = 'public' group by tablename, cmd, role having count(*) > 1
$$, 'one policy for each verb and role');

select is_empty($$
  select tablename, policyname from pg_catalog.pg_policies
  where schemaname = 'public' and (cmd = 'ALL' or permissive <> 'PERMISSIVE' or 'public' = any (roles))
$$, 'a policy names its verb and its roles');

-- A bare auth.uid() or helper would run once for each row.
select is_empty($$
  select tablename, policyname from pg_catalog.pg_policies p,
    regexp_matches(coalesce(qual, '') || coalesce(with_check, ''),
      '(.{0,7})(?:auth\.(?:uid|jwt|role)|private\.\w+)\(', 'g') called
  where schemaname = 'public' and called[1] !~* 'select $'
$$, 'what a policy asks about its reader is asked once a statement');

select is_empty($$
  select tablename, policyname from pg_catalog.pg_policies
  where schemaname = 'public' and cmd <> 'SELECT' and 'authenticated' = any (roles)
    and concat(qual, with_check) !~ 'private\.is_(account_active|platform_admin)\('
$$, 'a disabled account writes nothing');

select * from finish();
rollback;
