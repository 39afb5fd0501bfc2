-- Auth has an index on (instance_id, lower(email)): the one statement that looks for an address has to fit it.
begin;
select plan(3);
update public.system_config set config_value = 'true' where config_key = 'match_payments_by_email';
select tests.create_user('payer');
update auth.users set email_confirmed_at = now() where id = tests.id('payer');
select is(private.confirmed_account(' Payer@Example.test'), tests.id('payer'), 'an address is found in any case');

create function pg_temp.plan_of_lookup() returns setof text language plpgsql as $$
declare
  statement text := substring((select prosrc from pg_catalog.pg_proc where oid = 'private.confirmed_account(text)'::regprocedure)
    from 'from auth\.users a.*?;');
begin
  return query execute 'explain select 1 ' || replace(statement, '(address)', '(''payer@example.test''::text)');
end $$;
set local enable_seqscan = off;
select isnt_empty($$ select 1 from pg_temp.plan_of_lookup() p where p ~ 'users_instance_id_email_idx' $$, 'by that index');
select isnt_empty($$ select 1 from pg_temp.plan_of_lookup() p where p ~ 'Index Cond: .*instance_id = .*lower' $$,
  'and by both of its columns');

select * from finish();
rollback;
