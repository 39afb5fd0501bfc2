-- What one call of a person without a key writes, from its admission to its end.
begin;
select plan(2);
select tests.create_user('owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request)
  values ('test', 'Test', 'up', 100, 1);
select private.set_model_price('test', '{"input": 0, "output": 0}', '2020-01-01');
create temporary table written_before as
select relid, n_tup_ins + n_tup_upd + n_tup_del as rows from pg_stat_xact_user_tables;
select is(public.finish_ai_call((public.admit_ai_call(tests.id('owner'), 'test', 10, 5) ->> 'hold_id')::uuid, 'success', 10, 0, 5)
  ->> 'finished', 'true', 'a call is made');
select is((
  select string_agg(name || ' ' || rows, ', ' order by name) from (
    select regexp_replace(s.relid::regclass::text, '_\d{4}_\d\d$', '') as name, s.n_tup_ins + s.n_tup_upd + s.n_tup_del - coalesce(b.rows, 0) as rows
    from pg_stat_xact_user_tables s left join written_before b on b.relid = s.relid
    where s.schemaname in ('public', 'private')
  ) w where rows > 0
), 'credit_grants 1, credit_transactions 1, credit_wallets 2, feature_usage 2, private.ai_request_counts 1, '
  'private.ai_usage_logs 1, private.credit_holds 2, private.usage_by_day 1, users 1', 'it writes twelve rows');

select * from finish();
rollback;
