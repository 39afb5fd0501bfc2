-- Demo rows for a local stack: models to call. A project of your own lists its own, with its provider's prices.

insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values
  ('gpt-4o-mini', 'GPT-4o mini', 'gpt-4o-mini', 16384),
  ('gemini-2.5-flash-lite', 'Gemini 2.5 Flash Lite', 'gemini-2.5-flash-lite', 65536)
on conflict (model) do nothing;

insert into public.ai_model_prices
  (model, effective_from, input_usd_per_million, cached_input_usd_per_million, output_usd_per_million)
values
  ('gpt-4o-mini', '2024-07-18', 0.15, 0.075, 0.60),
  ('gemini-2.5-flash-lite', '2025-07-22', 0.10, 0.025, 0.40)
on conflict (model, effective_from) do nothing;
