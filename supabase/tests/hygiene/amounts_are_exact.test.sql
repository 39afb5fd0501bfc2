begin;
select plan(7);
select tests.hide_yours();

select set_eq($$
  select c.relname || '.' || a.attname from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0
    and a.atttypid in ('numeric'::regtype, 'real'::regtype, 'double precision'::regtype, 'money'::regtype)
$$, array[
  'system_config.minimum', 'system_config.maximum', 'ai_models.markup',
  'ai_price_components.usd_per_unit', 'ai_price_components.credits_per_unit',
  'credit_wallets.credits_spendable',
  'payments.reversed_share',
  'plan_features.feature_limit', 'workspace_features.feature_limit', 
  'feature_usage.used',
  'conversations.total_cost', 'messages.cost',
  'session_analysis_logs.duration_seconds', 'session_analysis_logs.audio_seconds', 'session_analysis_logs.estimated_cost_usd',
  'session_usage.duration_seconds', 'session_usage.tail_seconds', 'session_usage.audio_seconds', 'session_usage.estimated_cost_usd'
], 'every numeric column that is no bound, factor, length of time, share, average, quantity of a feature, rate, cost in US dollars or sum of such columns holds credits and has one of their domains');

select is_empty($$
  select c.relname, a.attname from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p') and a.attnum > 0
    and (a.atttypid in ('timestamp'::regtype, 'timetz'::regtype, 'json'::regtype) or a.attname ~ '_at$'
      and a.atttypid <> 'timestamptz'::regtype)
$$, 'times are timestamptz and JSON is jsonb');

select throws_ok($$ select 'NaN'::public.credit_amount $$, '23514', null, 'no amount is NaN');
select throws_ok($$ select 'NaN'::public.unsigned_credit_amount $$, '23514', null,
  'none of those that cannot be negative either');
select throws_ok($$ select '-0.000001'::public.unsigned_credit_amount $$, '23514', null, 'which are not negative');
select throws_ok($$ select 'infinity'::public.credit_amount $$, '22003', null, 'no amount is infinite');
select is('0.1'::public.credit_amount + '0.2'::public.credit_amount, 0.3, 'amounts add up exactly');

select * from finish();
rollback;
