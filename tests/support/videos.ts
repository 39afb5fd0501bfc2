/** Models that make videos, written straight into the database. */
import { sql } from './stack.ts';

/** Offers a model that makes videos of 8 seconds, at `credits` a job. */
export async function offerVideos(model: string, credits = 1): Promise<void> {
  await sql(
    `with made as (
       insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens)
       values ($1, $1, 'video_generation', 'up', 0) returning model
     ), asked as (
       insert into public.video_models (model, durations, resolutions, takes_image)
       select model, '{8}', '{720p}', true from made returning model
     )
     select private.set_model_price(model,
       jsonb_build_array(jsonb_build_object('unit', 'request', 'credits_per_unit', $2::numeric)), '2020-01-01') from asked`,
    [model, credits],
  );
}
