/** Models that make videos, written straight into the database. */
import { sql } from './stack.ts';

/** Offers a model that makes videos of 8 seconds, at `credits` a job. */
export async function offerVideos(model: string, credits = 1): Promise<void> {
  await sql(
    `with model as (
       insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens)
       values ($1, $1, 'video_generation', 'up', 0)
     ), asked as (
       insert into public.video_models (model, durations, resolutions, takes_image) values ($1, '{8}', '{720p}', true)
     )
     insert into public.video_model_prices (model, effective_from, credits_per_job) values ($1, '2020-01-01', $2)`,
    [model, credits],
  );
}
