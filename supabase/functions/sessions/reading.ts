/** What is read of sessions over HTTP: as the SQL functions answer it, for tokens and API keys alike. */
import { z } from 'zod';
import type { Caller } from '../_shared/auth.ts';
import { database, run } from '../_shared/database.ts';
import { invalidRequest } from '../_shared/errors.ts';

const count = (most: number) => z.coerce.number().pipe(z.int().min(1).max(most));
const date = z.iso.date('it must be a day, such as 2026-11-01').refine((day) => day > '2000' && day < '2200', {
  error: 'it must be between 2000 and 2200',
});

const page = z.object({ limit: count(200).optional(), before_number: count(2_147_483_647).optional() });
const span = z.object({
  start_date: date.optional(),
  end_date: date.optional(),
  user_id: z.guid('it must be a UUID').optional(),
  workspace_id: z.guid('it must be a UUID').optional(),
});
const nothing = z.object({});

/** A session with its usage and, for who may read it, its transcript. */
export async function getSession(http: Request, caller: Caller, session_id: string): Promise<Response> {
  readQuery(http, nothing);
  return Response.json(await read(caller, { what: 'session', session_id }));
}

/** The analyses of a session, the highest number first, page by page. */
export async function listAnalyses(http: Request, caller: Caller, session_id: string): Promise<Response> {
  const { limit, before_number } = readQuery(http, page);
  return Response.json(await read(caller, { what: 'analysis_logs', session_id, before_number, max_rows: limit }));
}

/** How many analyses of a session found which level. */
export async function getDistribution(http: Request, caller: Caller, session_id: string): Promise<Response> {
  readQuery(http, nothing);
  return Response.json(await read(caller, { what: 'safety_distribution', session_id }));
}

/** Sums over the sessions that the caller may read. */
export async function getUsageStats(http: Request, caller: Caller): Promise<Response> {
  const { user_id, workspace_id = caller.workspace_id, ...days } = readQuery(http, span);
  const asked = { ...caller, workspace_id };
  return Response.json(await read(asked, { what: 'usage_stats', of_user_id: user_id, ...days }));
}

function read(caller: Caller, asked: { what: string; [name: string]: string | number | undefined }): Promise<unknown> {
  return run(() => database.rpc('read_sessions', { ...caller, ...asked }));
}

/** Reads what stands behind the question mark. Throws 400 `invalid_request` that names what is off. */
function readQuery<T extends z.ZodObject>(http: Request, shape: T): z.infer<T> {
  const query: Record<string, string> = {};
  for (const [name, value] of new URL(http.url).searchParams) {
    if (!Object.hasOwn(shape.shape, name))
      throw invalidRequest(`The parameter ${JSON.stringify(name)} is not supported.`, name);
    if (Object.hasOwn(query, name)) throw invalidRequest(`${name} is there twice.`, name);
    query[name] = value;
  }
  const parsed = shape.safeParse(query);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const param = issue?.path.join('.') ?? null;
  throw invalidRequest(`${param} is not valid: ${issue?.message}.`, param);
}
