/** The plans by which Postgres answers a person's queries, the statements in functions included (auto_explain). */
import type pg from 'pg';

/** A node of a plan; rows are for one of its loops. */
export type PlanNode = {
  'Node Type': string;
  'Index Name'?: string;
  'Plan Rows': number;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  'Rows Removed by Join Filter'?: number;
  Plans?: PlanNode[];
};

/** Has Postgres tell the plans of the client's transaction from here on. */
export async function tellPlans(client: pg.PoolClient): Promise<void> {
  await client.query(`load 'auto_explain'; set local auto_explain.log_min_duration = 0;
    set local auto_explain.log_nested_statements = on; set local auto_explain.log_analyze = on;
    set local auto_explain.log_timing = off; set local auto_explain.log_format = json;
    set local client_min_messages = log`);
}

/**
 * A query's rows for a signed-in person, and all nodes of the plans that use an index whose name begins with `index`.
 * Only in a transaction, after `tellPlans`.
 */
export async function plansFor(
  client: pg.PoolClient,
  person: string,
  index: string,
  query: string,
  params: unknown[],
): Promise<{ rows: pg.QueryResultRow[]; nodes: PlanNode[] }> {
  const nodes: PlanNode[] = [];
  const flat = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(flat)];
  const listen = ({ message = '' }: { message?: string }): void => {
    const json = message.slice(message.indexOf('{'));
    if (json.includes(`"Index Name": "${index}`)) nodes.push(...flat(JSON.parse(json).Plan));
  };
  client.on('notice', listen);
  await client.query(`select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`, [
    JSON.stringify({ role: 'authenticated', sub: person }),
  ]);
  try {
    const { rows } = await client.query(query, params);
    return { rows, nodes };
  } finally {
    await client.query('set local role none');
    client.off('notice', listen);
  }
}
