-- First models, prices, products and settings of a project of yours: a template to edit and to run once in the SQL editor.
-- Run again, it sets the settings and leaves the rows that exist. Prices are examples: take your provider's and platform's.

begin;

-- Settings ------------------------------------------------------------------------------------------------------------

update public.system_config s set config_value = v.config_value
from (values
  ('credits_per_usd', '100'::jsonb),                            -- credits that one US dollar of provider cost becomes
  ('default_markup', '2'),                                      -- your price ÷ the provider's
  ('signup_credits', '3'),                                      -- granted once per mailbox
  ('payment_mode', '"test"'),                                   -- '"live"' where you take real money: docs/deploy.md, step 10
  ('checkout_return_urls', '"https://app.example.com"'),        -- origins of your app, separated by commas
  ('mail_hook_url', '""')                                       -- where invitations are posted as JSON (needs pg_net)
) v (config_key, config_value)
where s.config_key = v.config_key;

-- Models --------------------------------------------------------------------------------------------------------------
-- content_parts: the most tokens that one part can be billed; leave {} for text only.

insert into public.ai_models
  (model, display_name, scene, upstream_model, max_output_tokens, context_window, minimum_plan, content_parts)
values
  ('gpt-4o-mini', 'GPT-4o mini', 'text_chat', 'gpt-4o-mini', 16384, 128000, 'free', '{"image_url": 48169}'),
  ('text-embedding-3-small', 'Text Embedding 3 small', 'embedding', 'text-embedding-3-small', 0, null, 'free', '{}')
on conflict (model) do nothing;

-- US dollars per million tokens, as your provider charges them. What has no price of its own falls back to another
-- (docs/ai.md): 0 is free, left out is not. Later prices: admin_set_model_price, which takes tiers and hours too.
select private.set_model_price(p.model, p.components::jsonb, '2026-01-01')
from (values
  ('gpt-4o-mini', '{"input": 0.15, "cached_input": 0.075, "output": 0.60}'),
  ('text-embedding-3-small', '{"input": 0.02, "output": 0}')
) p (model, components)
where not exists (select from public.ai_model_prices o where o.model = p.model);

-- Products ------------------------------------------------------------------------------------------------------------
-- Ids from your Stripe or Creem account; amounts in cents, before tax. Without the real ids no payment finds its product.

insert into public.payment_products
  (platform, product_id, price_id, name, plan, billing_period, credits, amount, currency)
values
  ('stripe', 'prod_YOUR_BASIC', 'price_YOUR_BASIC_MONTH', 'Basic', 'basic', 'month', 1000, 900, 'USD'),
  ('stripe', 'prod_YOUR_PACK', 'price_YOUR_PACK', '1,000 credits', null, null, 1000, 1200, 'USD')
on conflict (platform, product_id, price_id) do nothing;

-- Schedules -----------------------------------------------------------------------------------------------------------
-- Put the URL and the secret key into Vault first: docs/deploy.md, step 5.

select * from private.schedule_basemeter();

commit;
