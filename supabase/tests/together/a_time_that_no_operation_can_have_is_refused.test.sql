begin;
select no_plan();
select tests.hide_yours();
update public.system_config set config_value = case config_key when 'max_backdating_days' then '366' else '5' end::jsonb
where config_key in ('max_backdating_days', 'max_clock_skew_minutes');

create function pg_temp.answer_at(function_oid oid, moment text) returns text
language plpgsql as $$
declare
  arguments text := (
    select string_agg(format('%I => %s::%s', a.name, case when a.name = 'at' then quote_nullable(moment) when a.type = 'numeric'::regtype then '1' else 'null' end,
      format_type(a.type, null)), ', ')
    from pg_catalog.pg_proc p, unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes) a (name, type, mode)
    where p.oid = function_oid and coalesce(a.mode, 'i') = 'i');
  code text;
  sentence text;
begin
  execute format('select %s(%s)', function_oid::regproc, arguments);
  return 'it was taken';
exception when others then
  get stacked diagnostics code = message_text, sentence = pg_exception_detail;
  return code || ': ' || split_part(sentence, ' most', 1);
end $$;

create temporary table timed as
  select p.oid from pg_catalog.pg_proc p where p.pronamespace = 'public'::regnamespace and 'at' = any (p.proargnames);
select cmp_ok((select count(*) from timed)::integer, '>=', 33, 'the functions that take a time are found');
select is(pg_temp.answer_at(t.oid, moment), 'invalid_request: at must be a time at',
  format('%s refuses %s', t.oid::regproc, coalesce(moment, 'null')))
from timed t, unnest(array[null, 'infinity', '-infinity', (now() + interval '6 minutes')::text, '2126-01-01 00:00+00',
  (now() - interval '367 days')::text]) moment
order by t.oid::regproc::text, moment;

select tests.create_user('owner');
select lives_ok(format('select public.debit_user_credits_transaction(%L, 1, ''test'', at => %L)', tests.id('owner'), moment),
  format('what happened %s is recorded', moment))
from unnest(array[now() + interval '4 minutes', now() - interval '25 hours']) moment;
select throws_ok(format('select public.credit_user_credits_transaction(%L, 1, ''gift'', expires_at => ''infinity'')', tests.id('owner')),
  'PT400', 'invalid_request', 'credits that never expire have no expiry');
update public.system_config set config_value = '400' where config_key = 'max_backdating_days';
select lives_ok(format('select public.credit_user_credits_transaction(%L, 1, ''gift'', at => %L)', tests.id('owner'), now() - interval '399 days'),
  'how far back is a setting');

select * from finish();
rollback;
