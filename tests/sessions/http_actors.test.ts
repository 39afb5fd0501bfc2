/** Who may do what with a session over HTTP: each actor on each route. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { newKey, newModel } from '../ai/helpers.ts';
import { join, newTeam } from '../conversations/helpers.ts';
import { env, sql } from '../support/stack.ts';
import { analyse, type By, call, newSpeaker, outcome, start } from './http_helpers.ts';

const ROUTES: [string, string, object | undefined][] = [
  ['GET', '', undefined],
  ['GET', '/analysis-logs', undefined],
  ['GET', '/safety-distribution', undefined],
  ['POST', '/pause', {}],
  ['POST', '/resume', {}],
  ['POST', '/analyze-partial', { sequence: 2, transcript_segment: 'Mine.', duration_seconds: 1 }],
  ['POST', '/cancel', {}],
  ['POST', '/fail', {}],
  ['PATCH', '/complete', {}],
];

test('its person does everything, admins and those it is shared with read, others see nothing', async () => {
  const [owner, speaker, mate, stranger] = await Promise.all([newSpeaker(), newSpeaker(), newSpeaker(), newSpeaker()]);
  const team = await newTeam(owner);
  await join(team, speaker);
  await join(team, mate);
  await sql(`select public.credit_user_credits_transaction($2, 100, 'purchase', workspace_id => $1)`, [team, owner.id]);
  await sql(`update public.workspaces set plan = 'enterprise' where id = $1`, [team]);
  const { data: teamKey, error } = await owner.client.rpc('create_api_key', { name: 'team', workspace_id: team });
  if (error) throw error;
  const keys = { own: await newKey(stranger), team: teamKey as unknown as { key: string } };
  const model = await newModel();
  const session = await start(speaker, {}, { 'x-workspace-id': team });
  expect(outcome(await analyse(speaker, session, 1, model))).toBe('200');

  /** Reading, writing. */
  const table: [string, By, string, string][] = [
    ['nobody', undefined, '401 not_authenticated', '401 not_authenticated'],
    ['the service key', { key: env.SECRET_KEY }, '401 not_authenticated', '401 not_authenticated'],
    ['a key that is none', { key: 'sk-none' }, '401 invalid_api_key', '401 invalid_api_key'],
    ['a stranger', stranger, '404 not_found', '404 not_found'],
    ['an API key of another workspace', keys.own, '404 not_found', '404 not_found'],
    ['a teammate', mate, '404 not_found', '404 not_found'],
    ['its admin', owner, '200', '403 forbidden'],
    ["the admin's API key", keys.team, '200', '403 forbidden'],
  ];
  const seen: [string, string, string][] = [];
  for (const [who, by] of table) {
    for (const [method, path, body] of ROUTES) {
      const wanted = path === '/analyze-partial' ? { ...body, model } : body;
      seen.push([who, `${method} ${path}`, outcome(await call(by, method, `/${session}${path}`, wanted))]);
    }
  }
  const expected = table.flatMap(([who, , reading, writing]) =>
    ROUTES.map(([method, path]) => [who, `${method} ${path}`, method === 'GET' ? reading : writing]),
  );
  expect(seen).toEqual(expected);

  // Sums: of what each may see, and of a team for its members.
  const stats = async (by: By) => {
    const answer = await call(by, 'GET', `/usage-stats?workspace_id=${team}`);
    return answer.error ? outcome(answer) : answer.body.total_sessions;
  };
  expect(await Promise.all([speaker, mate, owner, keys.team, stranger, undefined].map(stats))).toEqual([
    ...[1, 0, 1, 1, '404 not_found', '401 not_authenticated'],
  ]);
  const own = async (by: By) => (await call(by, 'GET', '/usage-stats')).body.total_sessions;
  expect(await Promise.all([speaker, mate, owner, keys.team, stranger].map(own))).toEqual([1, 0, 0, 1, 0]);

  const { error: unshared } = await speaker.client.from('sessions').update({ is_shared: true }).eq('id', session);
  expect(unshared).toBeNull();
  for (const [method, path, body] of ROUTES) {
    const wanted = path === '/analyze-partial' ? { ...body, model } : body;
    const answer = outcome(await call(mate, method, `/${session}${path}`, wanted));
    expect([path, answer]).toEqual([path, method === 'GET' ? '200' : '403 forbidden']);
  }
  for (const [method, path, body] of ROUTES.filter(([, path]) => path !== '/cancel' && path !== '/fail')) {
    const wanted = path === '/analyze-partial' ? { ...body, model } : body;
    expect([path, outcome(await call(speaker, method, `/${session}${path}`, wanted))]).toEqual([path, '200']);
  }
});

/** How a start and each request about a session end for somebody. */
const outcomesFor = async (by: By, session: string) => {
  const model = await newModel();
  const requests = [
    ['POST', '', {}],
    ...ROUTES.map(([method, path, body]) => [method, `/${session}${path}`, body]),
  ] as [string, string, object | undefined][];
  const outcomes: string[] = [];
  for (const [method, path, body] of requests) {
    const wanted = path.endsWith('/analyze-partial') ? { ...body, model } : body;
    outcomes.push(`${method} ${path.replace(`/${session}`, '/ID')}: ${outcome(await call(by, method, path, wanted))}`);
  }
  return outcomes;
};

test('an API key for other scenes reads and writes no sessions', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const { key } = await newKey(speaker, { allowed_scenes: ['text_chat'] });
  const outcomes = await outcomesFor({ key }, session);
  expect(outcomes.filter((one) => !one.endsWith(': 403 forbidden'))).toEqual([]);
});

test('a disabled account reads what is its own, and changes nothing, nor do its keys', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const { key } = await newKey(speaker);
  await sql(`update public.users set is_active = false where id = $1`, [speaker.id]);
  for (const by of [speaker, { key }]) {
    const outcomes = await outcomesFor(by, session);
    const writing = outcomes.filter((one) => !one.startsWith('GET '));
    expect(writing.filter((one) => !one.endsWith(': 403 account_disabled'))).toEqual([]);
  }
});

test("a session in a team is the team's to pay, and only members start one", async () => {
  const [owner, speaker, stranger] = await Promise.all([newSpeaker(), newSpeaker(), newSpeaker()]);
  const team = await newTeam(owner);
  await join(team, speaker);
  await sql(`select public.credit_user_credits_transaction($2, 100, 'purchase', workspace_id => $1)`, [team, owner.id]);
  const into = { 'x-workspace-id': team };
  const refused = await call(stranger, 'POST', '', { client_id: randomUUID() }, into);
  expect(refused.status).toBeGreaterThanOrEqual(403);
  expect(refused.status).toBeLessThanOrEqual(404);
  expect(outcome(await call(undefined, 'POST', '', { client_id: randomUUID() }, into))).toBe('401 not_authenticated');
  const session = await start(speaker, {}, into);
  expect(outcome(await analyse(speaker, session, 1, await newModel()))).toBe('200');
  const end = await call(speaker, 'PATCH', `/${session}/complete`, {});
  expect(outcome(end)).toBe('200');
  const entries = await sql<{ workspace_id: string; amount: number }>(
    `select workspace_id, amount::float8 from public.credit_transactions
     where reason = 'session_fee' and transaction_type = 'debit' and workspace_id = any($1) and amount <> 0`,
    [[team, speaker.id]],
  );
  expect(entries).toEqual([{ workspace_id: team, amount: -Number(end.usage.credits_consumed) }]);
});
