/** Video jobs in parallel sessions: as many as the plan and the balance allow, each ended and refunded once. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { adminPool, sql, sqlAs } from '../support/stack.ts';
import { offerVideos } from '../support/videos.ts';
import { driftOf, newAccount, walletOf } from '../support/wallets.ts';

const model = `video-races-${randomUUID()}`;

beforeAll(() => offerVideos(model, 20));
afterAll(async () => {
  await adminPool.query('update public.ai_models set is_active = false where model = $1', [model]);
});

type Created = { created: boolean; code?: string; job?: { id: string } };

async function create(account: string, more: { key?: string; workspace?: string } = {}): Promise<Created> {
  const [row] = await sql<{ answer: Created }>(
    `select public.create_video_job($1, $2, 'a cat', idempotency_key => $3, workspace_id => $4) as answer`,
    [account, model, more.key ?? null, more.workspace ?? null],
  );
  if (!row) throw new Error('No answer.');
  return row.answer;
}

async function newMaker(balance: number, plan: string): Promise<string> {
  const account = await newAccount(balance);
  await adminPool.query('update public.workspaces set plan = $2 where id = $1', [account, plan]);
  return account;
}

async function jobOf(account: string, workspace?: string): Promise<string> {
  const { job } = await create(account, { workspace });
  if (!job) throw new Error('No job was made.');
  return job.id;
}

/** What the ledger tells of a job. */
async function ledgerOf(job: string) {
  const [ledger] = await sql<{ status: string; paid: number; refunds: number; logged: string | null }>(
    `select j.status,
            (select coalesce(-sum(t.amount), 0)::float8 from public.credit_transactions t
              where t.id = w.debit_id or t.refunded_transaction_id = w.debit_id) as paid,
            (select count(*)::integer from public.credit_transactions t where t.refunded_transaction_id = w.debit_id) as refunds,
            (select string_agg(l.status::text, ' ') from public.ai_usage_logs l where l.request_id = j.request_id) as logged
       from public.video_jobs j join private.video_job_work w on w.video_job_id = j.id
      where j.id = $1`,
    [job],
  );
  return ledger;
}

test('parallel submits never pass the jobs that a plan allows at once', async () => {
  const account = await newMaker(1000, 'pro');
  const answers = await Promise.all(Array.from({ length: 20 }, () => create(account)));
  expect(answers.filter((answer) => answer.created)).toHaveLength(5);
  expect(new Set(answers.filter((answer) => !answer.created).map((answer) => answer.code))).toEqual(
    new Set(['limit_reached']),
  );
  expect(await walletOf(account)).toMatchObject({ balance: 900, spent: 100 });
  expect(await driftOf([account])).toEqual([]);
});

test('nor what a wallet can pay', async () => {
  const account = await newMaker(70, 'enterprise');
  const answers = await Promise.all(Array.from({ length: 20 }, () => create(account)));
  expect(answers.filter((answer) => answer.created)).toHaveLength(3);
  expect(new Set(answers.filter((answer) => !answer.created).map((answer) => answer.code))).toEqual(
    new Set(['insufficient_credits']),
  );
  expect(await walletOf(account)).toMatchObject({ balance: 10, spent: 60 });
  expect(await driftOf([account])).toEqual([]);
});

test('one idempotency key makes one job, however often at once', async () => {
  const account = await newMaker(1000, 'enterprise');
  const answers = await Promise.all(Array.from({ length: 12 }, () => create(account, { key: 'k' })));
  expect(answers.filter((answer) => answer.created)).toHaveLength(1);
  expect(new Set(answers.map((answer) => answer.job?.id)).size).toBe(1);
  expect(await walletOf(account)).toMatchObject({ balance: 980 });
});

/** Runs `change` under the wallet's lock while a submit waits for it, and says what becomes of the submit. */
async function submitMeanwhile(wallet: string, change: string, submit: () => Promise<Created>): Promise<string> {
  const first = await adminPool.connect();
  try {
    await first.query('begin');
    await first.query('select from public.credit_wallets where workspace_id = $1 for no key update', [wallet]);
    const answer = submit().then(
      ({ created, code }) => code ?? String(created),
      (error) => error.message,
    );
    await vi.waitFor(
      async () => {
        const { rows } = await adminPool.query(
          `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%create_video_job%'`,
        );
        expect(rows.length).toBeGreaterThan(0);
      },
      { timeout: 20_000, interval: 50 },
    );
    await first.query(change);
    await first.query('commit');
    return await answer;
  } finally {
    await first.query('rollback');
    first.release();
  }
}

test('a submit counts as things are when it gets its turn', async () => {
  const [maker, owner] = [await newMaker(100, 'enterprise'), await newAccount(3)];
  const [team] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
  const workspace = team?.id ?? '';
  await adminPool.query(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'member'), ($1, $3, 'owner')`,
    [workspace, maker, owner],
  );
  await sql(`select public.credit_user_credits_transaction($1, 100, 'manual', workspace_id => $2)`, [owner, workspace]);
  const leave = `delete from public.workspace_members where workspace_id = '${workspace}' and user_id = '${maker}'`;
  expect(await submitMeanwhile(workspace, leave, () => create(maker, { workspace }))).toBe('not_found');

  const secret = randomUUID();
  await adminPool.query(
    `with key as (
       insert into public.api_keys (workspace_id, user_id, name, prefix, budget) values ($1, $1, 'key', 'sk-', 100) returning id
     )
     insert into private.api_key_hashes (key_hash, api_key_id) select sha256(convert_to($2, 'UTF8')), id from key`,
    [maker, secret],
  );
  const byKey = async (): Promise<Created> => {
    const [row] = await sql<{ answer: Created }>(
      `select public.create_video_job(null, $1, 'a cat', api_key_hash => encode(sha256(convert_to($2, 'UTF8')), 'hex')) as answer`,
      [model, secret],
    );
    return row?.answer ?? { created: false };
  };
  const spend = `update public.spending_limits set credits_used = 90 where workspace_id = '${maker}'`;
  expect(await submitMeanwhile(maker, spend, byKey)).toBe('limit_reached');
  await sql(`update public.spending_limits set credits_used = 0 where workspace_id = $1`, [maker]);
  expect(await driftOf([maker, workspace])).toEqual([]);
});

test('webhook, poll, cancel, time limit and sweep at once end a job once', async () => {
  const account = await newMaker(1000, 'enterprise');
  for (let round = 0; round < 15; round += 1) {
    const [made] = await sql<{ id: string }>(
      `select public.create_video_job($1, $2, 'a cat', request_id => $3) #>> '{job,id}' as id`,
      [account, model, randomUUID()],
    );
    const job = made?.id ?? '';
    const task = `task of ${job}`;
    const told = (status: string) =>
      sql('select public.update_video_job($1, $2)', [
        job,
        { job_id: task, status, result_url: 'https://result.test/v' },
      ]);
    const far = `now() + interval '2 days'`;
    const moves = [
      () => sql('select public.start_video_job($1, $2)', [job, task]),
      () => told('completed'),
      () => told('completed'),
      () => told('failed'),
      () => sql('select public.cancel_video_job($1, true)', [job]),
      () => sql(`select public.fail_video_job($1, 'timed_out')`, [job]),
      () => sql(`select private.end_overdue_video_job($1, ${far})`, [job]),
    ];
    // Whoever is first differs from round to round.
    const turned = [...moves.slice(round % moves.length), ...moves.slice(0, round % moves.length)];
    await Promise.all(turned.map((move) => move()));
    const ledger = await ledgerOf(job);
    const isCompleted = ledger?.status === 'completed';
    expect(['completed', 'failed', 'canceled']).toContain(ledger?.status);
    expect(ledger).toMatchObject({
      paid: isCompleted ? 20 : 0,
      refunds: isCompleted ? 0 : 1,
      logged: isCompleted ? 'success' : ledger?.status,
    });
  }
  expect(await driftOf([account])).toEqual([]);
});

test('what is due is given to one of many who ask', async () => {
  const account = await newMaker(1000, 'enterprise');
  const jobs = await Promise.all(Array.from({ length: 8 }, () => jobOf(account)));
  await Promise.all(jobs.map((job) => sql('select public.start_video_job($1, $2)', [job, `task of ${job}`])));
  // By the function's own lease: other files have jobs of theirs.
  const leased = await Promise.all(
    Array.from({ length: 10 }, () =>
      sql<{ id: string }>(`select l.id from private.lease_due_videos('fetch', 100, now() + interval '1 minute') l`),
    ),
  );
  const mine = leased.flat().filter(({ id }) => jobs.includes(id));
  expect(mine.map(({ id }) => id).sort()).toEqual([...jobs].sort());
  const stale = await Promise.all(
    Array.from({ length: 10 }, () =>
      sql<{ is_stale: boolean }>(
        `select (public.get_video_job($1, $2, at => now() + interval '5 minutes') -> 'is_stale')::boolean as is_stale`,
        [account, jobs[0]],
      ),
    ),
  );
  expect(stale.flat().filter((answer) => answer.is_stale)).toHaveLength(1);
});

test('a task is one job at most, whoever claims it at once', async () => {
  const makers = await Promise.all(Array.from({ length: 6 }, () => newMaker(100, 'enterprise')));
  const jobs = await Promise.all(makers.map((maker) => jobOf(maker)));
  const task = randomUUID();
  const told = { job_id: task, status: 'completed', result_url: 'https://result.test/v' };
  const answers = await Promise.all(
    jobs.map((job, place) =>
      place % 2 === 0
        ? sql<{ done: boolean }>(`select (public.start_video_job($1, $2) -> 'started')::boolean as done`, [job, task])
        : sql<{ done: boolean }>(`select (public.update_video_job($1, $2) -> 'changed')::boolean as done`, [job, told]),
    ),
  );
  expect(answers.flat().filter((answer) => answer.done)).toHaveLength(1);
  const [{ count } = { count: 0 }] = await sql<{ count: number }>(
    'select count(*)::integer as count from private.video_job_work where job_id = $1',
    [task],
  );
  expect(count).toBe(1);
});

test('a deletion waits for what is being done to a job, also in a team that its person has left', async () => {
  const [maker, owner] = [await newMaker(100, 'enterprise'), await newAccount(3)];
  const [team] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
  const workspace = team?.id ?? '';
  await adminPool.query(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'member'), ($1, $3, 'owner')`,
    [workspace, maker, owner],
  );
  await sql(`select public.credit_user_credits_transaction($1, 100, 'manual', workspace_id => $2)`, [owner, workspace]);
  const job = await jobOf(maker, workspace);
  await adminPool.query('delete from public.workspace_members where workspace_id = $1 and user_id = $2', [
    workspace,
    maker,
  ]);
  const [worker, auth] = [await sqlAs('postgres'), await sqlAs('supabase_auth_admin')];
  await worker.query('begin');
  await worker.query('select private.lock_video_job($1, now())', [job]);
  const deletion = auth.query('delete from auth.users where id = $1', [maker]);
  await vi.waitFor(
    async () => {
      const { rows } = await adminPool.query(
        `select from pg_stat_activity where wait_event_type = 'Lock' and query like 'delete from auth.users%'`,
      );
      expect(rows.length).toBeGreaterThan(0);
    },
    { timeout: 20_000, interval: 50 },
  );
  await worker.query(`select public.fail_video_job($1, 'upstream_error')`, [job]);
  await worker.query('commit');
  expect((await deletion).rowCount).toBe(1);
  await Promise.all([worker.end(), auth.end()]);
  expect(await ledgerOf(job)).toMatchObject({ status: 'failed', paid: 0, refunds: 1 });
  expect(await driftOf([workspace])).toEqual([]);
});

test('an account that is deleted while its jobs end leaves a ledger that is right', async () => {
  for (let round = 0; round < 6; round += 1) {
    const account = await newMaker(100, 'enterprise');
    const [team] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
    const workspace = team?.id ?? '';
    const owner = await newAccount(3);
    await adminPool.query(
      `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'member'), ($1, $3, 'owner')`,
      [workspace, account, owner],
    );
    await sql(`select public.credit_user_credits_transaction($1, 100, 'manual', workspace_id => $2)`, [
      owner,
      workspace,
    ]);
    const [own, shared] = [await jobOf(account), await jobOf(account, workspace)];
    // Deletions met by a job of a member who has left are no different.
    if (round % 2 === 1) {
      await adminPool.query('delete from public.workspace_members where workspace_id = $1 and user_id = $2', [
        workspace,
        account,
      ]);
    }
    const auth = await sqlAs('supabase_auth_admin');
    const told = { job_id: randomUUID(), status: 'completed', result_url: 'https://result.test/v' };
    const outcomes = await Promise.allSettled([
      auth.query('delete from auth.users where id = $1', [account]),
      sql('select public.update_video_job($1, $2)', [shared, told]),
      sql(`select public.fail_video_job($1, 'upstream_error')`, [shared]),
      sql(`select public.fail_video_job($1, 'upstream_error')`, [own]),
    ]);
    await auth.end();
    const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.message] : []));
    expect(errors.filter((message) => message !== 'not_found')).toEqual([]);
    const ledger = await ledgerOf(shared);
    expect(ledger?.paid).toBe(ledger?.status === 'completed' ? 20 : 0);
    expect(await ledgerOf(own)).toBeUndefined();
    expect(await driftOf([workspace])).toEqual([]);
  }
});
