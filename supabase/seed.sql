-- Demo rows for a local stack: models to call. A project of your own lists its own, with its provider's prices.

-- GPT-4o mini bills an image as up to eight tiles of 5,667 tokens and 2,833 more; Gemini 2.5 as tiles of 258, at most 16.
insert into public.ai_models
  (model, display_name, scene, upstream_model, max_output_tokens, context_window, content_parts, extra_fields,
    minimum_plan)
values
  ('gpt-4o-mini', 'GPT-4o mini', 'text_chat', 'gpt-4o-mini', 16384, 128000, '{"image_url": 48169, "file": null}', '{}',
    'free'),
  ('gpt-4o', 'GPT-4o', 'text_chat', 'gpt-4o', 16384, 128000, '{"image_url": 1445, "file": null}', '{}', 'basic'),
  ('gpt-4-turbo', 'GPT-4 Turbo', 'text_chat', 'gpt-4-turbo', 4096, 128000, '{"image_url": 1445}', '{}', 'pro'),
  ('gemini-2.5-flash-lite', 'Gemini 2.5 Flash Lite', 'text_chat', 'gemini-2.5-flash-lite', 65536, 1048576,
    '{"image_url": 4128}', '{}', 'free'),
  ('text-embedding-3-small', 'Text Embedding 3 small', 'embedding', 'text-embedding-3-small', 0, null, '{}', '{}',
    'free'),
  ('flux-schnell', 'FLUX schnell', 'image_generation', 'flux-schnell', 0, null, '{}', '{size}', 'free')
on conflict (model) do nothing;

-- Asked at Google, with AI_GEMINI_KEY; without that key the fallback answers, here the simulator.
update public.ai_models set provider = 'gemini' where model = 'gemini-2.5-flash-lite';
insert into public.ai_model_fallbacks (model, position, fallback_model) values
  ('gemini-2.5-flash-lite', 1, 'gpt-4o-mini')
on conflict do nothing;

insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens) values
  ('google-veo3.1', 'Google Veo 3.1', 'video_generation', 'google-veo3.1', 0)
on conflict (model) do nothing;
insert into public.video_models (model, durations, resolutions, aspect_ratios, takes_image) values
  ('google-veo3.1', '{8}', '{720p,1080p}', '{16:9,9:16}', true)
on conflict (model) do nothing;

select private.set_model_price(p.model, p.components::jsonb, p.effective_from::timestamptz)
from (values
  ('gpt-4o-mini', '2024-07-18', '{"input": 0.15, "cached_input": 0.075, "output": 0.60}'),
  ('gpt-4o', '2024-08-06', '{"input": 2.50, "cached_input": 1.25, "output": 10}'),
  ('gpt-4-turbo', '2024-04-09', '{"input": 10, "output": 30}'),
  ('gemini-2.5-flash-lite', '2025-07-22', '{"input": 0.10, "cached_input": 0.025, "output": 0.40}'),
  ('text-embedding-3-small', '2024-01-25', '{"input": 0.02, "output": 0}'),
  ('flux-schnell', '2024-08-01', '{"input": 0, "output": 0, "image": 0.003}'),
  ('google-veo3.1', '2025-10-15', '[{"unit": "request", "credits_per_unit": 20}]')
) p (model, effective_from, components)
where not exists (select from public.ai_model_prices o where o.model = p.model);

-- Demo prices for both platforms. Payments are matched by e-mail here because a local stack is nobody else's.
insert into public.payment_products
  (platform, product_id, price_id, name, plan, billing_period, credits, trial_credits, trial_days, amount, currency)
values
  ('creem', 'prod_basic', null, 'Basic', 'basic', 'month', 100, 0, 0, 900, 'USD'),
  ('creem', 'prod_creator', null, 'Creator', 'creator', 'month', 500, 0, 0, 2900, 'USD'),
  ('creem', 'prod_pro', null, 'Pro', 'pro', 'month', 2000, 50, 7, 9900, 'USD'),
  ('creem', 'prod_enterprise', null, 'Enterprise', 'enterprise', 'month', 10000, 0, 0, 39900, 'USD'),
  ('creem', 'prod_pack_100', null, '100 credits', null, null, 100, 0, 0, 1200, 'USD'),
  ('stripe', 'prod_basic', 'price_basic_month', 'Basic', 'basic', 'month', 100, 0, 0, 900, 'USD'),
  ('stripe', 'prod_creator', 'price_creator_month', 'Creator', 'creator', 'month', 500, 0, 0, 2900, 'USD'),
  ('stripe', 'prod_pro', 'price_pro_month', 'Pro', 'pro', 'month', 2000, 50, 7, 9900, 'USD'),
  ('stripe', 'prod_enterprise', 'price_enterprise_month', 'Enterprise', 'enterprise', 'month', 10000, 0, 0, 39900, 'USD'),
  ('stripe', 'prod_pack_100', 'price_pack_100', '100 credits', null, null, 100, 0, 0, 1200, 'USD')
on conflict (platform, product_id, price_id) do nothing;

update public.system_config set config_value = 'true' where config_key = 'match_payments_by_email';
update public.system_config set config_value = '"http://localhost:3000,http://127.0.0.1:3000"'
where config_key = 'checkout_return_urls';
update public.system_config set config_value = '"gemini-2.5-flash-lite"' where config_key = 'session_model';
