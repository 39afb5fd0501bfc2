begin;
select plan(13);
select tests.offer_video('veo'), tests.offer_video('gone');
update public.ai_models set is_active = false where model = 'gone';
select tests.create_user('owner');
select is((select string_agg(model, ', ') from public.list_ai_models(tests.id('owner'))), 'veo', 'models that make videos are listed with the others');
select tests.be_anonymous();
select results_eq('select model from public.video_models', $$ values ('veo') $$, 'everyone reads what may be asked of those on offer');
select throws_ok('select * from public.ai_price_components', '42501', null, 'not what the provider charges');
select tests.be_postgres();
select throws_ok($$ update public.video_models set durations = '{}' $$, '23514', null, 'a model has a length');
select throws_ok($$ update public.video_models set durations = '{0}' $$, '23514', null, 'which is positive');
select throws_ok($$ update public.video_models set needs_image = true, takes_image = false $$, '23514', null, 'one that needs an image takes it');
select throws_ok($$ update public.ai_providers set result_hosts = '{"x.test/path"}' $$, '23514', null, 'hosts are hosts');
select lives_ok($$ update public.ai_providers set result_hosts = '{AI_BASE_URL,*.x.test,127.0.0.1:8080,[::1]:80,localhost}' $$, 'with ports, stars and addresses');
select throws_ok($$ update public.plan_features set feature_limit = -1 $$, '23514', null, 'a plan''s jobs at once are a number or no limit');
select is((select string_agg(concat_ws(' ', plan, feature_limit), ', ' order by rank) from public.plans join public.plan_features using (plan)
    where feature_code = 'video_jobs_at_once' and plan in ('free', 'basic', 'creator', 'pro', 'enterprise')),
  'free 1, basic 2, creator 3, pro 5, enterprise 20', 'as they come');
update public.video_models set time_limit_seconds = 600 where model = 'veo';
update public.ai_price_components c set credits_per_unit = 5 from public.ai_model_prices p where p.id = c.price_id and p.model = 'veo' and c.unit = 'request';
select is((select string_agg(concat_ws(' ', resource_type, action), ', ' order by id) from public.audit_logs where resource_type in ('video_models', 'ai_price_components') and action = 'update'),
  'video_models update, ai_price_components update', 'changes of models and prices are audited');
select is((select new_values from public.audit_logs where resource_type = 'ai_price_components' and action = 'update'), '{"credits_per_unit": 5}'::jsonb, 'with what they were changed to');
insert into public.ai_price_components (price_id, unit, resolution, usd_per_unit)
select p.id, u.unit, '1080p', u.usd
from public.ai_model_prices p, (values ('request'::public.price_unit, 0.5), ('video_second', 0.1)) u (unit, usd) where p.model = 'veo';
select tests.be_anonymous();
select results_eq('select jsonb_strip_nulls(to_jsonb(price)), jsonb_strip_nulls(to_jsonb(resolution_prices)) from public.models',
  $$ values ('{"resolution": "720p", "credits_per_job": 5}'::jsonb, '[{"resolution": "720p", "credits_per_job": 5},
    {"resolution": "1080p", "credits_per_job": 50, "credits_per_second": 10}]'::jsonb) $$, 'what they cost is told in credits');

select * from finish();
rollback;
