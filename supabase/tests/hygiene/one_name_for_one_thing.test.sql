begin;
select plan(1);
select tests.hide_yours();

select is_empty($$
  select p.oid::regprocedure, n.name
  from pg_catalog.pg_proc p,
    unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes) n (name, type_id, mode)
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and n.type_id = 'uuid'::regtype
    and coalesce(n.mode, 'i') in ('i', 'b') and n.name ~ 'workspace|wallet'
    and p.proname <> 'check_subscription_limit' -- frontends know it with p_workspace_id
    and n.name <> case when p.pronamespace = 'public'::regnamespace then 'workspace_id' else 'wanted_workspace' end
$$, 'a workspace is workspace_id to callers and wanted_workspace inside');

select * from finish();
rollback;
