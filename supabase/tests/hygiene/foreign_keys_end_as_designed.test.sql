-- What belongs to a workspace goes with it; what a person did in a team stays without them.
begin;
select plan(5);
select tests.hide_yours();

create view pg_temp.keys as
select f.conrelid::regclass::text as child, a.attname::text as column_name, f.confrelid::regclass::text as parent,
  f.confdeltype, a.attnotnull, f.conrelid, f.conkey
from pg_catalog.pg_constraint f
join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
where f.contype = 'f' and f.conparentid = 0
  and f.connamespace in ('public'::regnamespace, 'private'::regnamespace);

select is_empty($$
  select * from pg_temp.keys
  where parent = 'workspaces' and child <> 'users' and not (column_name = 'workspace_id' and confdeltype = 'c'
    and (attnotnull or child = 'credit_rates'))
  and not (child in ('payment_customers', 'payments', 'subscription_history', 'user_subscriptions', 'unmatched_payment_emails')
    and column_name = 'workspace_id' and confdeltype = 'n')
$$, 'every key to workspaces is workspace_id, not null, on delete cascade; but payments stay for bookkeeping, and general rates are no workspace''s');

select is_empty($$
  select * from pg_temp.keys
  where parent = 'users' and not (column_name = 'user_id' and confdeltype = 'n' and not attnotnull)
    and child not in ('notifications', 'private.idempotent_requests', 'user_email_aliases', 'workspace_members',
      'user_sessions', 'private.invitation_mails', 'private.deleted_free_teams')
$$, 'every key to users is user_id, on delete set null; but kept answers, addresses, memberships, sessions and counts of theirs go');

select set_eq($$
  select concat_ws(' ', child, column_name, parent, confdeltype) from pg_temp.keys
  where parent = 'auth.users' or parent = 'workspaces' and child = 'users'
$$, array[
  'workspaces personal_user_id auth.users c', 'users id workspaces c', 'private.account_failures user_id auth.users c'
], 'an account takes its personal workspace along, and that its user');

select is_empty($$
  select k.child, k.column_name from pg_temp.keys k
  where not exists (
    select from pg_catalog.pg_index i
    where i.indrelid = k.conrelid and i.indisvalid
      and coalesce(pg_get_expr(i.indpred, i.indrelid), '') in ('', format('(%I IS NOT NULL)', k.column_name))
      and (string_to_array(i.indkey::text, ' ')::smallint[])[1:cardinality(k.conkey)] @> k.conkey
  )
$$, 'every foreign key has an index, of all rows that have it');

select is_empty($$
  select c.oid::regclass from pg_catalog.pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not exists (
    select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary
  )
$$, 'every table has a primary key');

select * from finish();
rollback;
