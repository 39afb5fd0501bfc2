begin;
select plan(5);

select set_eq($$
  select format('%s %s', r.rolname, p.privilege)
  from (values ('anon'), ('authenticated'), ('service_role'), ('authenticator')) r (rolname)
  cross join (values ('usage'), ('create')) p (privilege)
  where has_schema_privilege(r.rolname, 'private', p.privilege)
$$, array['authenticated usage', 'service_role usage'], 'only policies and functions on behalf of their caller look into private');

select is_empty($$
  select r.rolname, c.oid::regclass
  from pg_catalog.pg_class c cross join (values ('anon'), ('authenticated'), ('service_role')) r (rolname)
  where c.relnamespace = 'private'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and (has_table_privilege(r.rolname, c.oid, 'select, insert, update, delete, truncate, references, trigger')
      or has_any_column_privilege(r.rolname, c.oid, 'select, insert, update, references'))
    and (not c.relrowsecurity
      or has_table_privilege(r.rolname, c.oid, 'insert, update, delete, truncate, references, trigger')
      or has_any_column_privilege(r.rolname, c.oid, 'insert, update, references')
      or not exists (
        select from pg_catalog.pg_depend d
        join pg_catalog.pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
        join pg_catalog.pg_class v on v.oid = w.ev_class and v.relnamespace = 'public'::regnamespace
        where d.refobjid = c.oid and has_table_privilege(r.rolname, v.oid, 'select')
      ))
$$, 'the API''s roles read in private what a view in public shows, under row level security, and write nothing');

select is_empty($$
  select r.rolname from (values ('anon'), ('authenticated'), ('service_role')) r (rolname)
  where has_schema_privilege(r.rolname, 'public', 'create')
$$, 'the API''s roles make nothing in public');

select tests.create_user('someone');
select tests.sign_in('someone');
select throws_ok('select * from private.secrets', '42501', null, 'the secrets are refused to a person');
select tests.be_service();
select throws_ok('select * from private.ai_usage_logs_default', '42501', null,
  'a partition is refused to the service role');

select * from finish();
rollback;
