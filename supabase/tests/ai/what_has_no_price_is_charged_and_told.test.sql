begin;
select plan(12);
select tests.create_user('owner'), tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
update public.credit_wallets set overdraft_limit = 1000 where workspace_id = tests.id('owner');
select tests.limit_plans('requests_per_minute', 1000), tests.limit_plans('messages_per_month', null);
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values
  ('sound', 'S', 'up', 100, null), ('none', 'N', 'up', 100, null), ('zero', 'Z', 'up', 100, null), ('fixed', 'F', 'up', 100, 1);
select private.set_model_price('sound', '{"audio_input": 10, "output": 100, "tool_call": 0.5}', '2020-01-01'),
  private.set_model_price('none', '{"output": 100}', '2020-01-01'), private.set_model_price('zero', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('fixed', '{"output": 100}', '2020-01-01');
create function pg_temp.call(model text, prompt integer, images integer default 0, pools jsonb default '{}') returns text
language plpgsql as $$
declare
  made uuid := public.admit_ai_call(tests.id('owner'), model, 100, 1, request_id => model || prompt || pools, images => 1) ->> 'hold_id';
begin
  perform public.finish_ai_call(made, 'success', prompt, images => images, pools => pools);
  return (select concat_ws(' ', trim_scale(l.credits_charged), l.pricing ->> 'unpriced') from private.ai_usage_logs l where l.hold_id = made);
end;
$$;
create function pg_temp.told() returns text
language sql as $$ select string_agg(concat_ws(' ', data ->> 'served_model', data ->> 'units'), ', ' order by data ->> 'served_model')
  from public.admin_notifications where kind = 'usage_unpriced' $$;

select is(pg_temp.call('sound', 100), '0.1 ["input"]', 'text without a price costs the dearest of its family');
select is(pg_temp.call('sound', 100, pools => '{"web_searches": 1}'), '50.1 ["input", "web_search"]', 'a search costs what a tool does');
select is(pg_temp.call('none', 100), '0 ["input"]', 'without one it costs nothing, and is marked');
select is(pg_temp.call('zero', 100), '0', 'where the price is 0 it is not');
select is(pg_temp.call('zero', 0, 1), '0 ["image"]', 'an image without a price is marked');
select is(pg_temp.call('none', 50, 1), '0 ["image", "input"]', 'also besides tokens that cost nothing');
select is(pg_temp.call('fixed', 100), '1', 'a fixed price is a price');
select is(pg_temp.told(), 'none ["input"], sound ["input"], zero ["image"]', 'admins hear of each model once a day');
select is((select concat_ws(' ', trim_scale(credits_spent), trim_scale(credits_held)) from public.credit_wallets where workspace_id = tests.id('owner')), '51.2 0', 'this was all');

select tests.sign_in('admin');
select matches((public.explain_charge('none100{}')).sentence, 'Not priced: input\.$', 'the operator reads it in the explanation');
select tests.sign_in('owner');
select unalike((public.explain_charge('none100{}')).sentence, '%priced%', 'who called does not');
select tests.be_postgres();
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
