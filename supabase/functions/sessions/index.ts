/** Function `sessions`: long sessions that are analysed while they run and charged once at their end. */
import { type AppEnv, createApp } from '../_shared/app.ts';
import { type Caller, requireCaller } from '../_shared/auth.ts';
import { readBytes } from '../_shared/body.ts';
import { readWorkspace } from '../_shared/call-facts.ts';
import { analyse } from './analyses.ts';
import { cancelSession, completeSession, failSession, pauseSession, resumeSession, startSession } from './lifecycle.ts';
import { getDistribution, getSession, getUsageStats, listAnalyses } from './reading.ts';
import { readId } from './request.ts';

type SessionsEnv = AppEnv & { Variables: { caller: Caller } };

const app = createApp<SessionsEnv>('sessions', []);

app.use('/*', async (c, next) => {
  const caller = await requireCaller(c.req.raw).catch(async (error) => {
    // Not kept, let alone parsed; but a client that is still sending would not hear the answer.
    await readBytes(c.req.raw, 0).catch(() => undefined);
    throw error;
  });
  c.set('caller', { ...caller, workspace_id: readWorkspace(c.req.raw.headers) });
  await next();
});

app.post('/', (c) => startSession(c.req.raw, c.get('caller'), c.get('requestId')));
app.post('/:id/analyze-partial', (c) => {
  return analyse(c.req.raw, c.get('caller'), c.get('requestId'), readId(c.req.param('id')));
});
for (const [path, act] of [
  ['pause', pauseSession],
  ['resume', resumeSession],
  ['cancel', cancelSession],
  ['fail', failSession],
] as const) {
  app.post(`/:id/${path}`, (c) => act(c.req.raw, c.get('caller'), readId(c.req.param('id'))));
}
app.get('/usage-stats', (c) => getUsageStats(c.req.raw, c.get('caller')));
for (const [path, read] of [
  ['', getSession],
  ['/analysis-logs', listAnalyses],
  ['/safety-distribution', getDistribution],
] as const) {
  app.get(`/:id${path}`, (c) => read(c.req.raw, c.get('caller'), readId(c.req.param('id'))));
}
app.patch('/:id/complete', (c) => completeSession(c.req.raw, c.get('caller'), readId(c.req.param('id'))));

export default { fetch: (request: Request) => app.fetch(request) };
