/** What the official client does about a limit: it waits as long as `Retry-After` says, unless it is told not to. */
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { ApiError, errorResponse } from '../../supabase/functions/_shared/errors.ts';
import { newUser, sql } from '../support/stack.ts';
import { AI_URL, newModel, simulate } from './helpers.ts';

test('the eleventh message of a free month is refused at once, and not tried again when the month is over', async () => {
  const user = await newUser();
  const at = new Date();
  await sql(
    `insert into private.ai_request_counts (workspace_id, minute_started_at, minute_requests, period_start, messages)
     values ($1, $2, 0, date_trunc('month', $2, 'UTC'), 10)`,
    [user.id, at],
  );
  const model = await newModel({ credits_per_request: 0 });
  const answers: Response[] = [];
  const client = new OpenAI({
    baseURL: AI_URL,
    apiKey: user.accessToken,
    fetch: async (...request) => {
      const answer = await fetch(...request);
      answers.push(answer);
      return answer;
    },
  });
  await expect(client.chat.completions.create({ model, messages: simulate({}) })).rejects.toMatchObject({
    status: 429,
    code: 'limit_reached',
  });
  expect(answers.map(({ headers }) => headers.get('x-should-retry'))).toEqual(['false']);
  expect(Number(answers[0]?.headers.get('retry-after'))).toBeGreaterThan(60);
});

describe('errors of every function', () => {
  test.each([
    { status: 429, wait: '60', told: null },
    { status: 429, wait: '61', told: 'false' },
    { status: 429, wait: undefined, told: 'false' },
    { status: 409, wait: '1', told: null },
    { status: 503, wait: '1', told: null },
    { status: 503, wait: '3600', told: 'false' },
    { status: 500, wait: undefined, told: null },
  ])('$status after $wait s: x-should-retry is $told', ({ status, wait, told }) => {
    const error = new ApiError(status, 'code', 'message', null, wait === undefined ? {} : { 'retry-after': wait });
    expect(errorResponse(error, 'req').headers.get('x-should-retry')).toBe(told);
  });
});
