-- Auth has an index on (instance_id, lower(email)): the one statement that looks for an address has to fit it.
begin;
select plan(3);
update public.system_config set config_value = 'true' where config_key = 'match_payments_by_email';
select tests.create_user('payer'), tests.create_user('imported');
update auth.users set email_confirmed_at = now() where id in (tests.id('payer'), tests.id('imported'));
update auth.users set instance_id = null where id = tests.id('imported');
select is(private.confirmed_account(' Payer@Example.test'), tests.id('payer'), 'an address is found in any case');
select is(private.confirmed_account('imported@example.test'), tests.id('imported'), 'also of an account without an instance');

create function pg_temp.plan_of_lookup() returns setof text language plpgsql as $$
begin
  return query execute 'explain select 1 ' || replace(substring((
    select prosrc from pg_catalog.pg_proc where oid = 'private.confirmed_account(text)'::regprocedure)
    from 'from \(.*?;'), '(address)', '(''payer@example.test''::text)');
end $$;
set local enable_seqscan = off;
select results_eq($$ select count(*)::integer from pg_temp.plan_of_lookup() p where p ~ 'Index Cond: .*instance_id.*lower' $$,
  array[2], 'by the whole of the index');

select * from finish();
rollback;
