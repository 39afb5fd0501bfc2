/** What the audit log keeps of a request through the API, and of a person after their account is gone. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { blankAudit } from '../support/audit.ts';
import { untilBlocked } from '../support/callers.ts';
import { adminPool, env, newUser, sql, sqlAs } from '../support/stack.ts';

const auditOf = (actor: string) =>
  adminPool.query(
    `select action, resource_type, actor_email, host(ip_address) as ip, user_agent, request_id
       from public.audit_logs where actor_id = $1 order by id`,
    [actor],
  );

test('a call over the API leaves its address, browser and request id, until its account is deleted', async () => {
  const person = await newUser();
  const request_id = randomUUID();
  const response = await fetch(`${env.API_URL}/rest/v1/rpc/create_workspace`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      apikey: env.PUBLISHABLE_KEY,
      authorization: `Bearer ${person.accessToken}`,
      'user-agent': 'a browser of theirs',
      'x-forwarded-for': '203.0.113.9, 10.0.0.1',
      'x-request-id': request_id,
    },
    body: JSON.stringify({ name: 'Audited' }),
  });
  expect(response.status).toBe(200);
  const team = z.object({ id: z.string() }).parse(await response.json()).id;
  const mine = { actor_email: person.email, ip: '203.0.113.9', user_agent: 'a browser of theirs', request_id };
  const before = (await auditOf(person.id)).rows;
  expect(before).toEqual([
    { ...mine, action: 'insert', resource_type: 'workspaces' },
    { ...mine, action: 'insert', resource_type: 'workspace_members' },
  ]);

  const read = await person.client.from('audit_logs').select('actor_email').eq('workspace_id', team);
  expect(read.data).toHaveLength(2);
  const write = await person.client.from('audit_logs').update({ action: 'nothing' }).eq('workspace_id', team);
  expect(write.error?.code).toBe('42501');

  // An heir keeps the team, and its log.
  const heir = await newUser();
  await sql(`insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'admin')`, [
    team,
    heir.id,
  ]);
  const auth = await sqlAs('supabase_auth_admin');
  try {
    expect((await auth.query('delete from auth.users where id = $1', [person.id])).rowCount).toBe(1);
  } finally {
    await auth.end();
  }
  await blankAudit(person.id);
  const after = (await auditOf(person.id)).rows;
  expect(after).toHaveLength(before.length);
  for (const row of after) expect(row).toMatchObject({ actor_email: null, ip: null, user_agent: null });
  const { rows: left } = await adminPool.query(
    `select count(*)::integer as count from public.audit_logs a where strpos(a::text, $1) > 0 or strpos(a::text, '203.0.113.9') > 0`,
    [person.email],
  );
  expect(left).toEqual([{ count: 0 }]);
  const { rows: told } = await adminPool.query(
    `select actor_role, action, resource_type from public.audit_logs where workspace_id = $1 order by id desc limit 2`,
    [team],
  );
  expect(told.reverse()).toEqual([
    { actor_role: 'supabase_auth_admin', action: 'update', resource_type: 'workspace_members' },
    { actor_role: 'supabase_auth_admin', action: 'delete', resource_type: 'workspace_members' },
  ]);
});

test('a change under way while its author is deleted leaves nothing of them either', async () => {
  const [leaver, heir] = [await newUser(), await newUser()];
  const made = await leaver.client.rpc('create_workspace', { name: 'Audited' });
  const team = z.object({ id: z.string() }).parse(made.data).id;
  await sql(`insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner')`, [
    team,
    heir.id,
  ]);
  const author = await sqlAs('authenticated', { sub: leaver.id });
  const auth = await sqlAs('supabase_auth_admin');
  try {
    await author.query('begin');
    await author.query(`select set_config('request.headers', '{"x-forwarded-for": "203.0.113.8"}', true)`);
    await author.query(`update public.workspaces set name = 'Renamed' where id = $1`, [team]);
    const deletion = auth.query('delete from auth.users where id = $1', [leaver.id]);
    await untilBlocked(auth);
    await author.query('commit');
    expect((await deletion).rowCount).toBe(1);
  } finally {
    await Promise.all([author.end(), auth.end()]);
  }
  await blankAudit(leaver.id);
  const { rows } = await adminPool.query(
    `select actor_email, host(ip_address) as ip, new_values from public.audit_logs
      where actor_id = $1 and action = 'update' and workspace_id = $2`,
    [leaver.id, team],
  );
  expect(rows).toEqual([{ actor_email: null, ip: null, new_values: { name: 'Renamed' } }]);
});
