begin;
select plan(11);
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens)
  values ('test', 'Test', 'up', 100);
select private.set_model_price('test', '{"input": 1, "cached_input": 0.1, "output": 4, "request": 0}', '2026-01-01'),
  private.set_model_price('test', '{"input": 2, "output": 8, "request": 0.5}', '2026-02-01');
create function pg_temp.charge(at timestamptz, prompt bigint, cached bigint, completion bigint) returns text
language sql as $$
  select format('%s USD, %s credits', trim_scale(c.cost_usd), trim_scale(c.credits))
  from public.ai_models m, private.charge_of(private.pricing_of(m, at), private.usage_of_call(prompt, cached, completion, 0)) c
    where m.model = 'test'
$$;

create function pg_temp.input_price(at timestamptz) returns numeric
language sql as $$ select (private.pricing_of(m, at) #>> '{price,components,0,usd_per_unit}')::numeric * 1000000 from public.ai_models m where m.model = 'test' $$;
select is(pg_temp.input_price('2025-12-31'), null, 'before the first price there is none');
select is(pg_temp.input_price('2026-01-01'), 1::numeric,
  'a price is in force from its first instant');
select is(pg_temp.input_price('2026-01-31'), 1::numeric, 'until the next');
select is(pg_temp.input_price('2027-01-01'), 2::numeric, 'the last one goes on');

select is(pg_temp.charge('2026-01-02', 1000000, 0, 500000), '3 USD, 300 credits', 'input and output have their prices');
select is(pg_temp.charge('2026-01-02', 1000000, 400000, 0), '0.64 USD, 64 credits',
  'a cached token is charged as cached only');
select is(pg_temp.charge('2026-01-02', 1000000, 2000000, 0), '0.1 USD, 10 credits', 'no more of them than there were');
select is(pg_temp.charge('2026-02-02', 1000000, 400000, 0), '2.5 USD, 250 credits',
  'as any other where no price is set for them, and a request has its own');
select is(pg_temp.charge('2026-01-02', 1, 0, 0), '0.000001 USD, 0.0001 credits',
  'a token costs a fraction of a credit');
update public.ai_models set markup = 1.5 where model = 'test';
select is(pg_temp.charge('2026-01-02', 1000000, 0, 0), '1 USD, 150 credits', 'a markup multiplies it');
update public.ai_models set credits_per_request = 7 where model = 'test';
select is(pg_temp.charge('2026-01-02', 1000000, 0, 0), '1 USD, 7 credits', 'a fixed price stands in for all of it');

select * from finish();
rollback;
