/** The models on offer, in OpenAI's shape. */
import { database, run } from '../_shared/database.ts';
import { ApiError } from '../_shared/errors.ts';

/** Answers `GET /v1/models`. */
export async function listModels() {
  const models = await run(() => query());
  return { object: 'list', data: models.map(toModel) };
}

/** Answers `GET /v1/models/{model}`. Throws 404 `not_found`. */
export async function getModel(model: string) {
  const [found] = await run(() => query().eq('model', model));
  if (!found) throw new ApiError(404, 'not_found', `The model ${JSON.stringify(model)} does not exist.`, 'model');
  return toModel(found);
}

function query() {
  return database.from('ai_models').select('model, created_at').eq('is_active', true).order('model');
}

function toModel(row: { model: string; created_at: string }) {
  return {
    id: row.model,
    object: 'model',
    created: Math.floor(Date.parse(row.created_at) / 1000),
    owned_by: 'basemeter',
  };
}
