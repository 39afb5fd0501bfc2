/** What customers were charged for each model's calls, beside what its provider charged. */
import type pg from 'pg';

/** Days in UTC, both included; null: this month, as in usage_report. */
type Span = { from?: string | undefined; to?: string | undefined };

const MARGINS = `
  select r.name as model, r.requests::text, round(r.provider_cost + r.margin, 4)::text as charged,
         round(r.provider_cost, 4)::text as cost, round(r.margin, 4)::text as margin,
         round(100 * r.margin / nullif(r.provider_cost + r.margin, 0), 1)::text as percent, r.margin < 0 as is_loss
    from public.usage_report('model', coalesce($1::date, date_trunc('month', now() at time zone 'UTC')::date),
           coalesce($2::date, (now() at time zone 'UTC')::date)) r
   where r.provider_cost <> 0 or r.margin <> 0
   order by r.margin < 0 desc, case when r.margin < 0 then r.margin end, r.name`;

const UNPRICED = `
  select coalesce(l.served_model, l.model) as model, count(distinct l.id)::text as calls,
         string_agg(distinct u.unit, ', ' order by u.unit) as units
    from private.ai_usage_logs l cross join jsonb_array_elements_text(l.pricing -> 'unpriced') u (unit)
   where l.created_at >= coalesce($1::date, date_trunc('month', now() at time zone 'UTC')::date)::timestamp at time zone 'UTC'
     and l.created_at < (coalesce($2::date, (now() at time zone 'UTC')::date) + 1)::timestamp at time zone 'UTC'
   group by 1 order by 1`;

/** A table in lines, models below cost first; then the models that used what they have no price for. */
export async function marginReport(client: pg.Client, { from, to }: Span): Promise<string[]> {
  const span = [from ?? null, to ?? null];
  const { rows } = await client.query(MARGINS, span);
  const heads = ['', 'calls', 'charged, USD', 'cost, USD', 'margin, USD', 'margin'];
  const cells = rows.map(({ model, requests, charged, cost, margin, percent, is_loss }) => [
    is_loss ? `${model} (below cost)` : model,
    requests,
    charged,
    cost,
    margin,
    percent === null ? 'not charged' : `${percent} %`,
  ]);
  const widths = heads.map((head, column) => Math.max(head.length, ...cells.map((row) => row[column].length)));
  const line = (row: string[]) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  const unpriced = (await client.query(UNPRICED, span)).rows.map(
    ({ model, calls, units }) =>
      `${model} has no price for ${units}: used by ${calls} of its calls; admin_set_model_price sets one.`,
  );
  return [...(rows.length > 0 ? [heads, ...cells].map(line) : ['No call was charged or cost anything.']), ...unpriced];
}
