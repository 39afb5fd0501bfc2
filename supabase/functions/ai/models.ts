/** The models on offer to a caller, in OpenAI's shape, with what a picker shows besides: name, scene, prices in credits. */
import type { Caller } from '../_shared/auth.ts';
import { database, run } from '../_shared/database.ts';
import { ApiError } from '../_shared/errors.ts';
import { OWNER } from './names.ts';

/** Answers `GET /v1/models`. Throws 401 `invalid_api_key`. */
export async function listModels(caller: Caller) {
  return { object: 'list', data: await modelsOf(caller) };
}

/** Answers `GET /v1/models/{model}`. Throws 401 `invalid_api_key`, 404 `not_found`. */
export async function getModel(caller: Caller, model: string) {
  const found = (await modelsOf(caller)).find(({ id }) => id === model);
  if (!found) throw new ApiError(404, 'not_found', `The model ${JSON.stringify(model)} does not exist.`, 'model');
  return found;
}

async function modelsOf(caller: Caller) {
  const models = await run(() => database.rpc('list_ai_models', caller));
  return models.map(({ model, created_at, display_name, scene, price, resolution_prices }) => ({
    id: model,
    object: 'model',
    created: Math.floor(Date.parse(created_at ?? '') / 1000),
    owned_by: OWNER,
    display_name,
    scene,
    price: withoutNulls(price),
    ...(resolution_prices?.length ? { resolution_prices: resolution_prices.map(withoutNulls) } : {}),
  }));
}

function withoutNulls(price: object | null) {
  return Object.fromEntries(Object.entries(price ?? {}).filter(([, value]) => value !== null));
}
