begin;
select plan(29);
select tests.create_user('owner'), tests.create_user('member'), tests.create_user('stranger'), tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
select tests.put_on_plan('owner', 'enterprise');
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'gift', kind => 'promotion');
select tests.create_team('team'), tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'gift', workspace_id => tests.id('team'), kind => 'promotion');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request, markup) values
  ('test', 'Test', 'up', 100, null, 1.5), ('backup', 'Backup', 'up-backup', 100, null, 1.5), ('fixed', 'Fixed', 'up', 100, 0.5, null),
  ('image', 'Image', 'up', 100, null, null);
select private.set_model_price('test', '{"input": 10, "cached_input": 5, "output": 100, "image": 0}', '2020-01-01'),
  private.set_model_price('backup', '{"input": 10, "cached_input": 5, "output": 100, "image": 0}', '2020-01-01'),
  private.set_model_price('fixed', '{"input": 1, "cached_input": 1, "output": 1, "image": 0}', '2020-01-01'),
  private.set_model_price('image', '{"input": 0, "output": 0, "image": 0.01}', '2020-01-01');
create function pg_temp.call(id text, ending public.ai_usage_status, model text default 'test', is_empty boolean default false,
  person text default 'owner', workspace text default 'owner', prompt integer default 100, cached integer default 40, output integer default 10,
  images integer default 0, served text default null) returns void
language sql as $$
  select public.finish_ai_call((public.admit_ai_call(tests.id(person), model, 500, 50, request_id => id, images => images, workspace_id => tests.id(workspace)) ->> 'hold_id')::uuid,
    ending, prompt, cached, output, is_empty => is_empty, images => images, served_model => served,
    details => '{"attempts": [{"status": 500}, {"status": 200}], "error_code": "upstream_error"}')
$$;
create function pg_temp.sentence(id text) returns text language sql as $$ select (public.explain_charge(id)).sentence $$;
grant execute on function pg_temp.sentence to authenticated, service_role;
select pg_temp.call('ok', 'success', served => 'backup'), pg_temp.call('failed', 'failed'), pg_temp.call('fixed', 'success', 'fixed'),
  pg_temp.call('empty', 'success', is_empty => true), pg_temp.call('one', 'success', prompt => 1, cached => 0, output => 0),
  pg_temp.call('image', 'success', 'image', prompt => 0, cached => 0, output => 0, images => 1),
  pg_temp.call('all', 'success', prompt => 100, cached => 0, output => 1, images => 2),
  pg_temp.call('ours', 'success', person => 'member', workspace => 'team');
select public.record_ai_usage(tests.id('owner'), 'test', 'elsewhere', 100, charge => true);
select public.admit_ai_call(tests.id('owner'), 'no-such', 1, request_id => 'refused');

select tests.sign_in('owner');
select tests.remember('ok', to_jsonb(public.explain_charge('ok')));
select is(jsonb_strip_nulls(tests.recall('ok')::jsonb -> 'tokens'), '{"input": 60, "output": 10, "cached_input": 40}'::jsonb, 'token pools exclude each other');
select is(jsonb_strip_nulls(tests.recall('ok')::jsonb -> 'price'), '{"credits_per_request": 0, "credits_per_million_input_tokens": 1500,
  "credits_per_million_cached_input_tokens": 750, "credits_per_million_output_tokens": 15000, "credits_per_image": 0}'::jsonb, 'the price in force is told in credits');
select is(pg_temp.sentence('ok'), '100 input tokens (40 of them cached) and 10 output tokens of test cost 0.27 credits. 1.5 credits had been held.', 'in a sentence');
select is(tests.recall('ok')::jsonb #>> '{hold,state}' || ' ' || (tests.recall('ok')::jsonb #>> '{settlement,credits}') || ' ' || (tests.recall('ok')::jsonb #>> '{settlement,balance_after}'),
  'settled 0.27 12.73', 'hold and settlement');
select is(tests.recall('ok')::jsonb #>> '{grants,0,kind}' || ' ' || (tests.recall('ok')::jsonb #>> '{grants,0,credits}'), 'free 0.27', 'the grants that paid');
select is((select jsonb_object_agg(e.key, e.value) from jsonb_each(tests.recall('ok')::jsonb) e
    where e.key = any ('{cost_usd,margin_usd,served_model,provider_price,credits_per_usd,markup,attempts}')),
  '{"cost_usd": null, "margin_usd": null, "served_model": null, "provider_price": null, "credits_per_usd": null, "markup": null, "attempts": null}'::jsonb,
  'what the provider charged, who answered and what was tried are not the customer''s');
select unalike(tests.recall('ok'), '%backup%', 'no name of another model');
select is(pg_temp.sentence('fixed'), '100 input tokens (40 of them cached) and 10 output tokens of fixed cost 0.5 credits, a fixed price. 0.5 credits had been held.', 'a fixed price');
select alike(pg_temp.sentence('failed'), 'The call of test failed (upstream_error) and was not charged. 1.5 credits had been held.', 'a failure');
select alike(pg_temp.sentence('empty'), '%of test cost nothing: it was not charged. 1.5 credits had been held.', 'nothing written');
select is(pg_temp.sentence('one'), '1 input token of test cost 0.0015 credits. 1.5 credits had been held.', 'one of a thing');
select alike(pg_temp.sentence('image'), '1 image of image cost 1 credit.%', 'an image, and one credit');
select alike(pg_temp.sentence('all'), '100 input tokens, 1 output token and 2 images of test cost %', 'three things');
select is(pg_temp.sentence('elsewhere'), '100 input tokens of test cost 0.15 credits.', 'a call made elsewhere');
select is(pg_temp.sentence('refused'), 'The call of no-such was refused (not_found) and cost nothing.', 'a refusal');
select is((public.explain_charge('ours')).settlement.balance_after, 99.73, 'the team''s owner sees its wallet');

select tests.sign_in('member');
select is((public.explain_charge('ours')).settlement.credits, 0.27, 'a member sees what their call cost');
select is((public.explain_charge('ours')).settlement.balance_after, null, 'and not what the team has');
select is((public.explain_charge('ours')).grants, null, 'nor from which grants');

select tests.sign_in('stranger');
select throws_ok($$ select public.explain_charge('ok') $$, 'PT404', 'not_found', 'a stranger hears nothing of it');

select tests.be_service();
select is((select array[e.cost_usd, e.margin_usd, e.credits_per_usd, e.markup] from public.explain_charge('ok') e), array[0.0018, 0.0009, 100, 1.5],
  'the service role is told the provider''s cost and the margin');
select is((select e.served_model || e.attempts from public.explain_charge('ok') e), 'backup[{"status": 500}, {"status": 200}]', 'who answered and what was tried');
select is((public.explain_charge('ok')).provider_price -> 'components' -> 2, '{"unit": "output", "usd_per_unit": 0.0001}', 'and the provider''s price');
select alike(pg_temp.sentence('ok'), '% cost 0.27 credits. 1.5 credits had been held. The provider''s cost was 0.0018 US dollars.', 'in a sentence');
select tests.sign_in('admin');
select is((public.explain_charge('ok')).cost_usd, 0.0018, 'so are platform admins');
select is((public.explain_charge('ok')).attempts, null, 'but for attempts, which have the providers'' words');

-- By which rates, where a price has several.
select tests.be_postgres();
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, markup) values ('tiers', 'Tiers', 'up', 100, 1);
select private.set_model_price('tiers', '[{"unit": "input", "usd_per_unit": 0.00001}, {"unit": "input", "usd_per_unit": 0.00002, "above_input_tokens": 99},
  {"unit": "output", "usd_per_unit": 0.0001}]', '2020-01-01');
select pg_temp.call('tiers', 'success', 'tiers'), pg_temp.call('below', 'success', 'tiers', prompt => 99, output => 0);
select tests.be_service();
select is((public.explain_charge('tiers')).rates, '{"input": 0.002, "cached_input": 0.002, "output": 0.01}'::jsonb, 'the rates are those of the tier that counted');
select is((public.explain_charge('below')).rates, '{"input": 0.001, "cached_input": 0.001}'::jsonb, 'for what was used');
select is((public.explain_charge('fixed')).rates, null, 'a fixed price has none');

select * from finish();
rollback;
