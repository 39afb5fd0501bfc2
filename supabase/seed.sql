-- Demo rows for a local stack: models to call. A project of your own lists its own, with its provider's prices.

insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens) values
  ('gpt-4o-mini', 'GPT-4o mini', 'text_chat', 'gpt-4o-mini', 16384),
  ('gemini-2.5-flash-lite', 'Gemini 2.5 Flash Lite', 'text_chat', 'gemini-2.5-flash-lite', 65536),
  ('text-embedding-3-small', 'Text Embedding 3 small', 'embedding', 'text-embedding-3-small', 0),
  ('flux-schnell', 'FLUX schnell', 'image_generation', 'flux-schnell', 0)
on conflict (model) do nothing;

insert into public.ai_model_prices
  (model, effective_from, input_usd_per_million, cached_input_usd_per_million, output_usd_per_million, usd_per_image)
values
  ('gpt-4o-mini', '2024-07-18', 0.15, 0.075, 0.60, 0),
  ('gemini-2.5-flash-lite', '2025-07-22', 0.10, 0.025, 0.40, 0),
  ('text-embedding-3-small', '2024-01-25', 0.02, null, 0, 0),
  ('flux-schnell', '2024-08-01', 0, null, 0, 0.003)
on conflict (model, effective_from) do nothing;
