begin;
select plan(12);
select tests.create_user('owner');
select tests.put_on_plan('owner', 'enterprise');
select public.credit_user_credits_transaction(tests.id('owner'), 1000, 'manual');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request, scene) values
  ('chat', 'Chat', 'up', 100, null, 'text_chat'), ('fixed', 'Fixed', 'up', 100, 0.5, 'text_chat'),
  ('image', 'Image', 'up', 0, null, 'image_generation');
select private.set_model_price('chat', '{"input": 10, "output": 100, "image": 0}', '2020-01-01'),
  private.set_model_price('fixed', '{"input": 10, "output": 100, "image": 0}', '2020-01-01'),
  private.set_model_price('image', '{"input": 0, "output": 0, "image": 0.01}', '2020-01-01');
create function pg_temp.call(model text, prompt bigint, cached bigint, completion bigint, images integer default 0,
  written bigint default 0, input integer default 1000, made integer default 0, at timestamptz default now()) returns text
language plpgsql as $$
declare
  hold uuid := public.admit_ai_call(tests.id('owner'), model, input, 50, images => images, request_id => 'r', at => call.at) ->> 'hold_id';
begin
  perform public.finish_ai_call(hold, 'success', prompt, cached, completion, images => made, written_tokens => written, at => call.at);
  return (select concat_ws(' ', l.prompt_tokens, l.cached_tokens, l.completion_tokens, l.images, l.usage_source,
    trim_scale(l.credits_charged)) from public.ai_usage_logs l where l.hold_id = hold);
end;
$$;

select is(pg_temp.call('chat', 2000, 0, 100), '2000 0 100 0 reported 3', 'what the request allows, twice, is believed');
select is_empty('select * from public.admin_notifications', 'and nobody is told');
select is(pg_temp.call('chat', 1000000, 999000, 1000000), '2000 2000 100 0 bounded 3', 'more is charged as that');
select is(pg_temp.call('chat', 500000, 0, 10, input => 2), '1000 0 10 0 bounded 1.1',
  'a short request has room for what a provider tells the model itself');
select is(pg_temp.call('chat', 10, 0, 900, written => 400), '10 0 800 0 bounded 8.01', 'what was written was used, limits or not');
select is(pg_temp.call('fixed', 1000000, 0, 10), '2000 0 10 0 bounded 0.5', 'a fixed price bounds no cost');
select is(pg_temp.call('image', 0, 0, 4000, images => 2, made => 2), '0 0 4000 2 reported 2', 'a count without a price may be what it likes');
select is(pg_temp.call('image', 0, 0, 0, images => 2, made => 7), '0 0 0 2 bounded 2', 'no more images than were asked for');
select results_eq($$ select subject, data #>> '{reported,prompt_tokens}', data #>> '{charged,prompt_tokens}', data ->> 'request_id'
    from public.admin_notifications where kind = 'usage_bounded' and subject like 'chat %' $$,
  $$ select 'chat ' || (now() at time zone 'UTC')::date, '1000000', '2000', 'r' $$, 'admins are told once a day and model');
select pg_temp.call('chat', 1000000, 0, 0, at => now() + interval '1 day');
select is((select count(*) from public.admin_notifications where subject like 'chat %'), 2::bigint, 'and again the next day');
update public.system_config set config_value = '10' where config_key = 'usage_tolerance';
select is(pg_temp.call('chat', 10000, 0, 500), '10000 0 500 0 reported 15', 'an operator may believe more');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
