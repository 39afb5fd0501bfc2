begin;
select plan(21);
select tests.create_user('owner'), tests.put_on_plan('owner', 'enterprise');
select public.credit_user_credits_transaction(tests.id('owner'), 1000, 'purchase');
select tests.limit_plans('video_jobs_at_once', null);
select tests.offer_video('veo');
create function pg_temp.price(parameters jsonb default '{}', at timestamptz default now(), model text default 'veo') returns text
language sql as $$ select trim_scale((answer #>> '{job,cost_credits}')::numeric)::text || coalesce(' ' || (answer ->> 'code'), '')
  from tests.ask_video('owner', model, parameters => price.parameters, at => price.at) answer $$;

select is(pg_temp.price(), '20', 'a price for each job');
update public.ai_price_components set credits_per_unit = 1.5 where unit = 'video_second';
select is(pg_temp.price(), '32', 'and for each second, both together');
select is(pg_temp.price('{"duration": 4}'), '26', 'of those that were asked for');
update public.ai_price_components set credits_per_unit = 0 where unit = 'request';
select is(pg_temp.price('{"duration": 4}'), '6', 'or for each second alone');
insert into public.ai_price_components (price_id, unit, resolution, credits_per_unit)
select p.id, u.unit, '1080p', u.credits
from public.ai_model_prices p, (values ('request'::public.price_unit, 50), ('video_second', 0)) u (unit, credits);
select is(pg_temp.price('{"resolution": "1080p"}'), '50', 'a resolution''s own price goes first');
select is(pg_temp.price(), '12', 'and is for it alone');
select private.set_model_price('veo', '[{"unit": "request", "credits_per_unit": 7}]', '2030-01-01');
select is(pg_temp.price(at => now() + interval '1 minute'), '12', 'a price to come is none yet');
select is(pg_temp.price(at => '2031-01-01'), '7', 'and is the price from its time on');
select is(pg_temp.price('{"resolution": "1080p"}', at => '2031-01-02'), '7', 'for every resolution');
select throws_ok($$ select private.set_model_price('veo', '[{"unit": "request", "credits_per_unit": 7}]', '2030-01-01') $$, 'PT409', 'invalid_state', 'one price at a time');
select throws_ok($$ select private.set_model_price('veo', '[{"unit": "video_second", "usd_per_unit": "NaN"}]') $$, 'PT400', 'invalid_request', 'in numbers');

select tests.offer_video('dollars', null);
update public.system_config set config_value = '10' where config_key = 'credits_per_usd';
update public.ai_price_components c set usd_per_unit = 0.05 from public.ai_model_prices p where p.id = c.price_id and p.model = 'dollars' and c.unit = 'request';
select is(pg_temp.price(model => 'dollars', at => now() + interval '2 minutes'), '8.5', 'without credits the cost decides');
update public.ai_models set markup = 1.5 where model = 'dollars';
select is(pg_temp.price(model => 'dollars', at => now() + interval '2 minutes'), '12.75', 'times the model''s markup');
update public.ai_models set credits_per_request = 3 where model = 'dollars';
select is(pg_temp.price(model => 'dollars', at => now() + interval '2 minutes'), '3', 'or its fixed price');

-- Parameters.
select is((tests.ask_video('owner', parameters => '{"duration": null, "negative_prompt": "dogs", "aspect_ratio": "9:16"}', at => now() + interval '3 minutes')) #> '{job,parameters}',
  '{"duration": 8, "resolution": "720p", "aspect_ratio": "9:16", "negative_prompt": "dogs"}'::jsonb, 'what is left out or null is the model''s default');
update public.video_models set resolutions = '{}', aspect_ratios = '{}' where model = 'veo';
select is((tests.ask_video('owner', at => now() + interval '3 minutes')) #> '{job,parameters}', '{"duration": 8}'::jsonb, 'a model without resolutions is given none');
select is((tests.ask_video('owner', parameters => '{"resolution": "720p"}', at => now() + interval '3 minutes')) ->> 'param', 'resolution', 'and takes none');
update public.video_models set resolutions = '{480p}' where model = 'dollars';
update public.ai_price_components c set resolution = '720p' from public.ai_model_prices p where p.id = c.price_id and p.model = 'dollars';
select is((tests.ask_video('owner', 'dollars', at => now() + interval '3 minutes')) - 'message',
  '{"created": false, "status": 400, "code": "invalid_request", "param": "resolution", "retry_after": null}'::jsonb, 'a resolution without a price is refused');

-- Nothing is taken for what costs nothing; a change of price later changes no job.
select tests.offer_video('free', 0);
select tests.remember('job', tests.make_video('owner', 'free', at => now() + interval '4 minutes', request_id => 'free'));
select is((select count(*) from public.credit_transactions where metadata ->> 'request_id' = 'free'), 0::bigint, 'a job for nothing makes no entry');
select public.fail_video_job(tests.recall('job')::uuid, 'upstream_error', at => now() + interval '5 minutes');
select is(tests.video_log(tests.recall('job')::uuid), 'failed 0 0 free upstream_error', 'and fails like any other');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
