/** Who tries, and what there is to try it on: people, teams, and one transaction that is undone. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { sqlAs } from '../support/stack.ts';

export const ACTORS = ['anonymous', 'stranger', 'member', 'admin', 'owner', 'platform admin', 'service role'] as const;
export type Actor = (typeof ACTORS)[number];

const SIGNED_IN = ['stranger', 'member', 'admin', 'owner', 'platform admin'] as const;

/** A place for a row: somebody's in a workspace. */
export type Place = { workspace: string; person: string; name: string };

/** Everybody, and a transaction to try things in. */
export type World = {
  client: pg.Client;
  team: string;
  /** Ids of the people: the actors who are signed in, and an outsider, who owns another team. */
  people: Record<string, string>;
  /** Everyone at home; everyone who is or was in the team, there; the outsider in the other team. */
  places: Place[];
};

let made: Promise<Omit<World, 'client'>> | undefined;

/** Makes people and teams once, lets `body` work with them, and undoes what it does. */
export async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  const client = await sqlAs('postgres');
  try {
    made ??= makeWorld(client);
    const world = await made;
    await client.query('begin');
    await client.query(`update public.users set role = 'admin' where id = $1`, [world.people['platform admin']]);
    await body({ ...world, client });
  } finally {
    await client.end(); // and with it the transaction
  }
}

async function makeWorld(client: pg.Client): Promise<Omit<World, 'client'>> {
  const people: Record<string, string> = {};
  for (const name of [...SIGNED_IN, 'outsider']) {
    const id = randomUUID();
    people[name] = id;
    await client.query(
      `insert into auth.users (id, email, email_confirmed_at, aud, role) values ($1, $2, now(), 'authenticated', 'authenticated')`,
      [id, `access-${id}@example.test`],
    );
  }
  const team = await makeTeam(client);
  const otherTeam = await makeTeam(client);
  for (const role of ['owner', 'admin', 'member']) await join(client, team, people[role], role);
  await join(client, otherTeam, people.outsider, 'owner');
  const places = [
    ...Object.entries(people).map(([name, id]) => ({ workspace: id, person: id, name: `${name} at home` })),
    ...['owner', 'admin', 'member', 'stranger'].map((name) => ({
      workspace: team,
      person: people[name] as string,
      name: `${name} in the team`,
    })),
    { workspace: otherTeam, person: people.outsider as string, name: 'outsider in another team' },
  ];
  return { team, people, places };
}

async function makeTeam(client: pg.Client): Promise<string> {
  const { rows } = await client.query(`insert into public.workspaces (name) values ('Team') returning id`);
  return rows[0].id;
}

async function join(client: pg.Client, team: string, person: string | undefined, role: string): Promise<void> {
  await client.query('insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, $3)', [
    team,
    person,
    role,
  ]);
}

/** The role of the database that the API gives an actor. */
export function roleOf(actor: Actor): 'anon' | 'authenticated' | 'service_role' {
  if (actor === 'anonymous') return 'anon';
  return actor === 'service role' ? 'service_role' : 'authenticated';
}

/** What a try came to: its rows, or the error. */
export type Tried = { rows: Record<string, unknown>[] } | { code: string; message: string };

/** One statement as an actor, with the role and claims that the API gives them, and undone; `before` is the owner's. */
export async function tryAs(world: World, actor: Actor, statement: string, before = ''): Promise<Tried> {
  const role = roleOf(actor);
  const claims = JSON.stringify({ role, sub: world.people[actor] });
  try {
    const results = (await world.client.query(
      `savepoint try; ${before}; select set_config('request.jwt.claims', ${pg.escapeLiteral(claims)}, true);
       set local role ${role}; ${statement}`,
    )) as unknown as pg.QueryResult[];
    return { rows: results.at(-1)?.rows ?? [] };
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return { code: error.code ?? '', message: error.message };
  } finally {
    await world.client.query('rollback to savepoint try');
  }
}
