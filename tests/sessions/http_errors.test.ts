/** Bad requests to function `sessions`: each is refused by what it is, and none is an error of ours. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { newModel } from '../ai/helpers.ts';
import { analyse, call, newSpeaker, outcome, start } from './http_helpers.ts';

const aDay = (from_now: number) => new Date(Date.now() + from_now * 86_400_000).toISOString();
const SEGMENT = { sequence: 1, transcript_segment: 'Hello.', duration_seconds: 10 };
const BAD: [string, string, string, object | string, string | null][] = [
  ['POST', '', 'a policy that is none', { policy: 'free' }, 'policy'],
  ['POST', '', 'no JSON', '{', null],
  ['POST', '', 'a list', '[]', null],
  ['POST', '', 'an empty client_id', { client_id: '' }, 'client_id'],
  ['POST', '', 'a long client_id', { client_id: 'x'.repeat(201) }, 'client_id'],
  ['POST', '', 'a long mode', { client_id: 'x', mode: 'x'.repeat(64) }, 'mode'],
  ['POST', '', 'a number as mode', { client_id: 'x', mode: 7 }, 'mode'],
  ['POST', '', 'an unknown field', { client_id: 'x', credits: 0 }, 'credits'],
  ['POST', '', 'a field in capitals', { Client_Id: 'x' }, 'Client_Id'],
  ['POST', '', 'a workspace in the body', { client_id: 'x', workspace_id: randomUUID() }, 'workspace_id'],
  ['POST', '', 'a time that is none', { client_id: 'x', started_at: 'yesterday' }, 'started_at'],
  ['POST', '', 'a time without zone', { client_id: 'x', started_at: '2026-11-01T10:00:00' }, 'started_at'],
  ['POST', '', 'the 30th of February', { client_id: 'x', started_at: '2026-02-30T10:00:00Z' }, 'started_at'],
  ['POST', '', 'the year 0', { client_id: 'x', started_at: '0000-01-01T00:00:00Z' }, 'started_at'],
  ['POST', '', 'the year 9999', { client_id: 'x', started_at: '9999-12-31T23:59:59-14:00' }, 'started_at'],
  ['POST', '', 'metadata that is a list', { client_id: 'x', metadata: [] }, 'metadata'],
  ['POST', '', 'much metadata', { client_id: 'x', metadata: { a: 'x'.repeat(10_000) } }, 'metadata'],
  ['POST', '', 'a number as client_id', { client_id: 7 }, 'client_id'],
  ['POST', '', 'an empty mode', { mode: '' }, 'mode'],
  ['POST', '', 'a list as policy', { policy: ['hard'] }, 'policy'],
  ['POST', '', 'a number as time', { started_at: 1_764_000_000 }, 'started_at'],
  ['POST', '', 'a time of last month', { started_at: aDay(-30) }, 'started_at'],
  ['POST', '', 'a time of next month', { started_at: aDay(30) }, 'started_at'],
  ['POST', '', 'a text as metadata', { metadata: 'x' }, 'metadata'],
  ['POST', '', 'deep metadata', `{"metadata":${'{"a":'.repeat(1_000)}1${'}'.repeat(1_000)}}`, null],
  ['POST', '', 'bottomless metadata', `{"metadata":${'{"a":'.repeat(500_000)}1${'}'.repeat(500_000)}}`, null],
  ['POST', '', 'infinite metadata', '{"metadata":{"a":1e999}}', 'metadata.a'],
  ['POST', '/ID/analyze-partial', 'no sequence', { ...SEGMENT, sequence: undefined }, 'sequence'],
  ['POST', '/ID/analyze-partial', 'sequence 0', { ...SEGMENT, sequence: 0 }, 'sequence'],
  ['POST', '/ID/analyze-partial', 'sequence -1', { ...SEGMENT, sequence: -1 }, 'sequence'],
  ['POST', '/ID/analyze-partial', 'sequence 1.5', { ...SEGMENT, sequence: 1.5 }, 'sequence'],
  ['POST', '/ID/analyze-partial', 'sequence 2^31', { ...SEGMENT, sequence: 2 ** 31 }, 'sequence'],
  ['POST', '/ID/analyze-partial', 'a text as sequence', { ...SEGMENT, sequence: '1' }, 'sequence'],
  ['POST', '/ID/analyze-partial', 'no words', { ...SEGMENT, transcript_segment: ' \n' }, 'transcript_segment'],
  [
    ...['POST', '/ID/analyze-partial', 'a huge segment'],
    { ...SEGMENT, transcript_segment: 'x'.repeat(20_001) },
    'transcript_segment',
  ] as [string, string, string, object, string],
  ['POST', '/ID/analyze-partial', 'a negative duration', { ...SEGMENT, duration_seconds: -1 }, 'duration_seconds'],
  ['POST', '/ID/analyze-partial', 'two days at once', { ...SEGMENT, duration_seconds: 172_800 }, 'duration_seconds'],
  ['POST', '/ID/analyze-partial', 'a duration as text', { ...SEGMENT, duration_seconds: '10' }, 'duration_seconds'],
  [
    'POST',
    '/ID/analyze-partial',
    'an infinite duration',
    JSON.stringify(SEGMENT).replace('10}', '1e999}'),
    'duration_seconds',
  ],
  ['POST', '/ID/analyze-partial', 'a time that is none', { ...SEGMENT, started_at: 12 }, 'started_at'],
  ['POST', '/ID/analyze-partial', 'an unknown field', { ...SEGMENT, messages: [] }, 'messages'],
  ['POST', '/ID/analyze-partial', 'an empty model', { ...SEGMENT, model: '' }, 'model'],
  ['POST', '/ID/analyze-partial', 'a list as segment', { ...SEGMENT, transcript_segment: ['x'] }, 'transcript_segment'],
  ['POST', '/ID/analyze-partial', 'no segment', { ...SEGMENT, transcript_segment: null }, 'transcript_segment'],
  ['POST', '/ID/analyze-partial', 'no duration', { ...SEGMENT, duration_seconds: undefined }, 'duration_seconds'],
  ['POST', '/ID/analyze-partial', 'a duration of null', { ...SEGMENT, duration_seconds: null }, 'duration_seconds'],
  ['POST', '/ID/analyze-partial', 'a time without zone', { ...SEGMENT, started_at: '2026-11-29T10:00' }, 'started_at'],
  ['POST', '/ID/analyze-partial', 'a time of long ago', { ...SEGMENT, started_at: aDay(-30) }, 'started_at'],
  ['POST', '/ID/analyze-partial', 'a time to come', { ...SEGMENT, started_at: aDay(30) }, 'started_at'],
  ['POST', '/ID/analyze-partial', 'a number as model', { ...SEGMENT, model: 4 }, 'model'],
  ['POST', '/ID/analyze-partial', 'a long model', { ...SEGMENT, model: 'x'.repeat(201) }, 'model'],
  ['POST', '/ID/pause', 'a field', { at: 'now' }, 'at'],
  ['POST', '/ID/resume', 'a field', { at: 'now' }, 'at'],
  ['POST', '/ID/cancel', 'a field', { reason: 'x' }, 'reason'],
  ['POST', '/ID/fail', 'a number as message', { error_message: 7 }, 'error_message'],
  ['POST', '/ID/fail', 'an unknown field', { reason: 'x' }, 'reason'],
  ['POST', '/ID/fail', 'a long message', { error_message: 'x'.repeat(1_001) }, 'error_message'],
  ['PATCH', '/ID/complete', 'a time that is none', { ended_at: '2026-13-01T00:00:00Z' }, 'ended_at'],
  ['PATCH', '/ID/complete', 'an end long before its start', { ended_at: '1900-01-01T00:00:00Z' }, 'ended_at'],
  ['PATCH', '/ID/complete', 'a number as transcript', { full_transcript: 7 }, 'full_transcript'],
  ['PATCH', '/ID/complete', 'a huge transcript', { full_transcript: 'x'.repeat(2_000_001) }, 'full_transcript'],
  ['PATCH', '/ID/complete', 'much of three bytes', { full_transcript: '長'.repeat(1_000_000) }, 'full_transcript'],
  ['PATCH', '/ID/complete', 'a time as number', { ended_at: 0 }, 'ended_at'],
  ['PATCH', '/ID/complete', 'a time without zone', { ended_at: '2026-11-29T10:00:00' }, 'ended_at'],
  ['PATCH', '/ID/complete', 'an unknown field', { credits: 0 }, 'credits'],
  ['POST', '/not-a-uuid/pause', 'an id that is none', {}, 'id'],
  ['PATCH', '/not-a-uuid/complete', 'an id that is none', {}, 'id'],
  ['POST', '/not-a-uuid/analyze-partial', 'an id that is none', SEGMENT, 'id'],
  ['GET', '/not-a-uuid', 'an id that is none', '', 'id'],
  ['GET', '/not-a-uuid/analysis-logs', 'an id that is none', '', 'id'],
  ['GET', '/ID?page=2', 'an unknown parameter', '', 'page'],
  ['GET', '/ID/analysis-logs?limit=0', 'a limit of 0', '', 'limit'],
  ['GET', '/ID/analysis-logs?limit=1000', 'a limit of 1000', '', 'limit'],
  ['GET', '/ID/analysis-logs?limit=5&limit=6', 'a limit twice', '', 'limit'],
  ['GET', '/ID/analysis-logs?before_number=x', 'a cursor that is none', '', 'before_number'],
  ['GET', '/not-a-uuid/safety-distribution', 'an id that is none', '', 'id'],
  ['GET', '/ID/safety-distribution?by=day', 'an unknown parameter', '', 'by'],
  ['GET', '/ID/analysis-logs?before_number=0', 'a cursor of 0', '', 'before_number'],
  ['GET', '/ID/analysis-logs?limit=', 'an empty limit', '', 'limit'],
  ['GET', '/usage-stats?end_date=2026-02-30', 'the 30th of February', '', 'end_date'],
  ['GET', '/usage-stats?end_date=9999-01-01', 'a far day', '', 'end_date'],
  ['GET', '/usage-stats?workspace_id=x', 'a workspace that is none', '', 'workspace_id'],
  ['GET', '/usage-stats?mode=lesson', 'an unknown parameter', '', 'mode'],
  ['GET', '/usage-stats?start_date=2026-13-01', 'a day that is none', '', 'start_date'],
  ['GET', '/usage-stats?user_id=7', 'a person that is none', '', 'user_id'],
];

test('each is a 400 that names what is off, and changes nothing', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const seen: unknown[] = [];
  for (const [method, path, what, body] of BAD) {
    const answer = await call(speaker, method, path.replace('ID', session), body === '' ? undefined : body);
    seen.push([`${method} ${path}: ${what}`, outcome(answer), answer.error?.param]);
    expect(answer.error?.request_id, what).toBe(answer.headers.get('x-request-id'));
  }
  expect(seen).toEqual(
    BAD.map(([method, path, what, , param]) => [`${method} ${path}: ${what}`, '400 invalid_request', param]),
  );
  const now = await call(speaker, 'GET', `/${session}`);
  expect(now.session.status).toBe('in_progress');
  expect(now.usage).toMatchObject({ analysis_count: 0 });
});

test('what is not there or does not fit has its own code', async () => {
  const speaker = await newSpeaker();
  const session = await start(speaker);
  const nobodys = randomUUID();
  const model = await newModel();
  expect(outcome(await analyse(speaker, session, 1, 'no-such-model'))).toBe('404 not_found');
  for (const [method, path] of [
    ['POST', '/pause'],
    ['POST', '/resume'],
    ['POST', '/cancel'],
    ['POST', '/fail'],
    ['PATCH', '/complete'],
    ['GET', ''],
    ['GET', '/analysis-logs'],
    ['GET', '/safety-distribution'],
  ] as const) {
    expect(outcome(await call(speaker, method, `/${nobodys}${path}`)), path).toBe('404 not_found');
  }
  expect(outcome(await analyse(speaker, nobodys, 1, model))).toBe('404 not_found');
  expect(outcome(await call(speaker, 'DELETE', `/${session}`))).toBe('404 not_found');
  expect(outcome(await call(speaker, 'POST', `/${session}/complete`))).toBe('404 not_found');
  expect(outcome(await call(speaker, 'GET', `/${session}`, undefined, { 'x-workspace-id': 'x' }))).toBe(
    '400 invalid_request',
  );
  expect(outcome(await call(speaker, 'PATCH', `/${session}/complete`, {}))).toBe('200');
  for (const path of ['/pause', '/resume', '/cancel', '/fail']) {
    expect(outcome(await call(speaker, 'POST', `/${session}${path}`)), path).toBe('409 invalid_state');
  }
});

test('texts that a database cannot hold are stored as they can be', async () => {
  const speaker = await newSpeaker();
  const odd = 'a\u0000b\ud800c';
  const session = await start(speaker, { client_id: odd, mode: odd, metadata: { [odd]: odd } });
  const answer = await analyse(speaker, session, 1, await newModel(), { transcript_segment: odd });
  expect(outcome(answer)).toBe('200');
  const end = await call(speaker, 'PATCH', `/${session}/complete`, { full_transcript: odd });
  expect(outcome(end)).toBe('200');
});
