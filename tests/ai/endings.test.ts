/** Every way a call can end, each in the ledger, its hold, the log and the statistics. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../support/stack.ts';
import {
  AI_URL,
  newCaller,
  newModel,
  newProvider,
  seenBySimulator,
  simulate,
  statisticsOf,
  untilLogged,
  walletOf,
} from './helpers.ts';

/** 20 tokens in and 10 out: at 100 and 200 dollars a million and 100 credits a dollar 0.4 credits. */
const USAGE = { prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 };
const LONG = { output_tokens: 40, chunks: 40 };

interface Row {
  /** What the simulator does. */
  does: object;
  /** Streamed or whole; both unless said. */
  stream?: boolean;
  /** Which of the models, by the way of its provider. */
  model?: 'plain' | 'cancels' | 'impatient' | 'dear';
  /** The client leaves after so many bytes have come. */
  leaves?: boolean;
  max_tokens?: number;
  /** What the log row has. */
  log: { status: string; usage_source: string; error_code: string | null };
  /** What was charged: a number, or a range that is not empty. */
  charged: number | [above: number, atMost: number];
  hold: 'settled' | 'released' | undefined;
  /** What the client gets. */
  http?: number;
}

const finished = { status: 'success', usage_source: 'reported', error_code: null };
const failed = { status: 'failed', usage_source: 'none', error_code: 'upstream_error' };
const failure = { charged: 0, hold: 'released' } as const;

const endings: Record<string, Row> = {
  'finished, usage reported': { does: { usage: USAGE }, log: finished, charged: 0.4, hold: 'settled' },
  refused: {
    does: {},
    model: 'dear',
    log: { status: 'refused', usage_source: 'none', error_code: 'insufficient_credits' },
    charged: 0,
    hold: undefined,
    http: 402,
  },
  'the provider fails before its answer': { does: { error: 500 }, log: failed, ...failure, http: 502 },
  'the provider blames the request': {
    does: { error: 400 },
    log: { ...failed, error_code: 'invalid_request' },
    ...failure,
    http: 400,
  },
  'the provider cuts its answer off': {
    does: { ...LONG, cut_after: 5 },
    stream: false,
    log: failed,
    ...failure,
    http: 502,
  },
  'the provider cuts its stream off': { does: { ...LONG, cut_after: 5 }, stream: true, log: failed, ...failure },
  'the provider tells of an error within its stream': {
    does: { ...LONG, error_after: 5 },
    stream: true,
    log: failed,
    ...failure,
  },
  'the provider ends its stream half-way': { does: { ...LONG, end_after: 5 }, stream: true, log: failed, ...failure },
  'the provider is silent before its answer': {
    does: { delay_ms: 3_000 },
    model: 'impatient',
    log: { ...failed, error_code: 'upstream_timeout' },
    ...failure,
    http: 504,
  },
  'the provider falls silent before its first words': {
    does: { ...LONG, chunk_delay_ms: 3_000 },
    stream: true,
    model: 'impatient',
    log: { ...failed, error_code: 'upstream_timeout' },
    ...failure,
    http: 504,
  },
  'nothing written': {
    does: { empty: true, usage: { ...USAGE, completion_tokens: 0, total_tokens: 20 } },
    log: finished,
    ...failure,
  },
  'nothing written but thoughts, which cost': {
    does: { empty: true, usage: USAGE },
    log: finished,
    charged: 0.4,
    hold: 'settled',
  },
  'an explicit usage of zero': {
    does: { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } },
    log: finished,
    charged: 0,
    hold: 'settled',
  },
  'no usage reported': {
    does: { usage: null, text: 'one two three' },
    log: { ...finished, usage_source: 'counted' },
    charged: [0.05, 0.6],
    hold: 'settled',
  },
  'the client leaves, the provider is read to its end': {
    does: { ...LONG, chunk_delay_ms: 10, usage: USAGE },
    stream: true,
    leaves: true,
    max_tokens: 40,
    log: { ...finished, status: 'canceled' },
    charged: 0.4,
    hold: 'settled',
  },
  'the client leaves, the provider is stopped': {
    does: { ...LONG, chunk_delay_ms: 50, usage: USAGE },
    stream: true,
    model: 'cancels',
    leaves: true,
    max_tokens: 40,
    log: { status: 'canceled', usage_source: 'counted', error_code: null },
    charged: [0.05, 0.9],
    hold: 'settled',
  },
  'the wallet is used up while it streams': {
    // The simulator writes on past the limit it is given, as no provider should.
    does: { output_tokens: 400, chunks: 100, ignore_limit: true, chunk_delay_ms: 5, usage: null },
    stream: true,
    max_tokens: 20,
    log: { status: 'success', usage_source: 'counted', error_code: 'cut_off' },
    charged: [2, 4],
    hold: 'settled',
  },
};

const models: Record<NonNullable<Row['model']>, string> = { plain: '', cancels: '', impatient: '', dear: '' };
beforeAll(async () => {
  models.plain = await newModel();
  models.cancels = await newModel({ provider: await newProvider({ disconnect_policy: 'cancel' }) });
  models.impatient = await newModel({ provider: await newProvider({ timeout_ms: 300, max_retries: 0 }) });
  models.dear = await newModel({ credits_per_request: 4 });
});

const cases = Object.entries(endings).flatMap(([name, row]) =>
  (row.stream === undefined ? [false, true] : [row.stream]).map((stream) => ({ name, stream, row })),
);

describe('a call that ends like this is accounted for once', () => {
  test.concurrent.each(cases)('$name (stream: $stream)', async ({ stream, row }) => {
    const user = await newCaller();
    const key = randomUUID();
    const leaving = new AbortController();
    const answer = await fetch(`${AI_URL}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${user.accessToken}` },
      body: JSON.stringify({
        model: models[row.model ?? 'plain'],
        messages: simulate({ ...row.does, key }),
        max_tokens: row.max_tokens,
        stream,
      }),
      signal: leaving.signal,
    });
    expect(answer.headers.get('x-request-id')).toMatch(/^req_/);
    if (row.leaves) {
      for await (const _ of answer.body ?? []) break;
      leaving.abort();
    } else {
      const text = await answer.text();
      expect(answer.status, text).toBe(row.http ?? 200);
      if (answer.status === 200 && row.log.status === 'failed')
        expect(text).toContain(`"code":"${row.log.error_code}"`);
      if (answer.status === 200 && row.log.status === 'success' && stream) expect(text).toMatch(/data: \[DONE\]\n\n$/);
      if (row.log.error_code === 'cut_off') expect(text).toContain('"finish_reason":"length"');
    }
    const logs = await untilLogged(user, 1);
    expect(logs).toMatchObject([{ ...row.log, request_id: answer.headers.get('x-request-id') }]);
    const charged = Number(logs[0]?.credits_charged);
    const [above, atMost] = typeof row.charged === 'number' ? [row.charged - 1e-9, row.charged] : row.charged;
    expect(charged).toBeGreaterThan(above);
    expect(charged).toBeLessThanOrEqual(atMost);

    expect(await walletOf(user)).toEqual({
      balance: expect.closeTo(3 - charged, 6),
      spent: charged,
      held: 0,
      drift: 0,
    });
    const holds = await sql(
      'select state, final_amount::float8 as charged from public.credit_holds where user_id = $1',
      [user.id],
    );
    expect(holds).toEqual(row.hold ? [{ state: row.hold, charged: row.hold === 'settled' ? charged : null }] : []);
    const entries = await sql(
      `select -amount::float8 as charged from public.credit_transactions where user_id = $1 and transaction_type = 'debit'`,
      [user.id],
    );
    expect(entries).toEqual(charged > 0 ? [{ charged }] : []);
    expect(await statisticsOf(user)).toMatchObject({ total: 1, [row.log.status]: 1, credits: charged });
    const { requests } = await seenBySimulator(key);
    if (row.leaves) expect(requests[0]?.outcome).toBe(row.model === 'cancels' ? 'canceled' : 'complete');
  });
});
