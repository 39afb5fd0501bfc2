begin;
select plan(9);
select tests.create_user('owner');
select tests.put_on_plan('owner', 'enterprise');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 100);
select private.set_model_price('test', '{"input": 10, "output": 100}', '2020-01-01');
update public.system_config set config_value = '2' where config_key = 'free_empty_answers_per_day';
create function pg_temp.charged(
  prompt integer, may_be_cut_short boolean default false, source public.ai_usage_source default 'reported',
  ending public.ai_usage_status default 'success', at timestamptz default '2026-11-10 12:00Z'
) returns numeric
language sql as $$
  select trim_scale((public.finish_ai_call(
    (public.admit_ai_call(tests.id('owner'), 'test', 500, 50, at => charged.at) ->> 'hold_id')::uuid,
    ending, prompt, usage_source => source, is_empty => true, may_be_cut_short => charged.may_be_cut_short,
    at => charged.at) ->> 'credits_charged')::numeric)
$$;

select is(pg_temp.charged(100, true), 0.1, 'an answer that the request may have cut short costs its input');
select is(pg_temp.charged(100000, true), 1.0, 'which is bounded');
select is(pg_temp.charged(100, true, 'counted'), 0.0, 'input that was not reported is free');
select is(pg_temp.charged(0, true), 0.0, 'as a report of none is');
select is(array(select pg_temp.charged(100) from generate_series(1, 3)), array[0, 0, 0.1],
  'so many a day are free, and no more');
select is(pg_temp.charged(100, source => 'counted'), 0.0, 'those without reported input always');
select is(pg_temp.charged(100, ending => 'canceled'), 0.1, 'whoever left it');
select is(array(select pg_temp.charged(100, at => '2026-11-11 12:00Z') from generate_series(1, 3)), array[0, 0, 0.1],
  'and again the next day');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
