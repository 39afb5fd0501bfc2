/** What a model costs, in the parts that `admin_set_model_price` takes. */
import { decimal } from './decimal.ts';

/** What a component prices one of. */
export type Unit =
  | 'input'
  | 'cached_input'
  | 'cache_write_5m'
  | 'cache_write_1h'
  | 'output'
  | 'reasoning'
  | 'audio_input'
  | 'audio_output'
  | 'image_input'
  | 'image_output'
  | 'image'
  | 'second_input'
  | 'second_output'
  | 'character'
  | 'request'
  | 'web_search'
  | 'tool_call'
  | 'video_second';

/** When a component counts. What is left out is the default: any context, the standard service. */
export type Condition = { above_input_tokens?: number; bound_included?: true; service_tier?: string };

/** US dollars for one unit, as plain digits. Those of the database may have conditions that no file has. */
export type Component = { unit: Unit; usd_per_unit: string } & Condition & { [condition: string]: unknown };

/** What a file says of one model of one provider, and what of it no component can express. */
export type Offer = { provider: string; model: string; components: Component[]; unexpressed: string[] };

/** Tells a component from the others of its model: its unit with its conditions. */
export function keyOf({ unit, usd_per_unit, ...conditions }: Component): string {
  return [
    unit,
    ...Object.keys(conditions)
      .sort()
      .map((name) => `${name} ${JSON.stringify(conditions[name])}`),
  ].join(', ');
}

/** Collects an offer's components. What is no price of ours is named, never dropped. */
export class OfferDraft {
  readonly #components = new Map<string, Component>();
  readonly #unexpressed: string[] = [];

  /** Adds what `field` says, US dollars for ten to the power of `-shift` units. The first of two that clash stays. */
  add(field: string, value: unknown, unit: Unit, condition: Condition = {}, shift = 0): void {
    const usd_per_unit = typeof value === 'string' ? decimal(value, shift) : undefined;
    const component: Component = { unit, usd_per_unit: usd_per_unit ?? '', ...condition };
    const earlier = this.#components.get(keyOf(component));
    const clashes = earlier !== undefined && earlier.usd_per_unit !== usd_per_unit;
    if (usd_per_unit === undefined || usd_per_unit.startsWith('-') || clashes) this.leave(field, value);
    else this.#components.set(keyOf(component), component);
  }

  /** Names what no component can express; what is null or empty says nothing. */
  leave(field: string, value: unknown): void {
    const text = JSON.stringify(value)?.replaceAll('"', '') ?? '';
    if (!['', 'null', '[]', '{}'].includes(text)) this.#unexpressed.push(`${field} ${text.slice(0, 200)}`);
  }

  /** The offer. A condition has to have a price to fall back to: what has none is left out, and named. */
  of(provider: string, model: string): Offer {
    const all = [...this.#components.values()];
    const isBased = ({ unit }: Component) => this.#components.has(keyOf({ unit, usd_per_unit: '' }));
    const unbased = all.filter((component) => !isBased(component));
    const named = unbased.map(
      (component) => `${keyOf(component)} ${component.usd_per_unit}, without a standard price of ${component.unit}`,
    );
    return { provider, model, components: all.filter(isBased), unexpressed: [...this.#unexpressed, ...named] };
  }
}
