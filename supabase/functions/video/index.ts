/** Function `video`: jobs that make videos, paid when they are made and refunded when they fail. */
import { type AppEnv, createApp } from '../_shared/app.ts';
import { type Caller, requireCaller, requireServiceRole } from '../_shared/auth.ts';
import { readWorkspace } from '../_shared/call-facts.ts';
import { cancelJob, createJob, getFile, getJob } from './jobs.ts';
import { JOB_ID_HEADER } from './submit.ts';
import { doDueWork } from './work.ts';

type VideoEnv = AppEnv & { Variables: { caller: Caller } };

const app = createApp<VideoEnv>('video', ['x-credits-charged', 'x-credits-available', JOB_ID_HEADER]);

app.use('/jobs/*', async (c, next) => {
  c.set('caller', { ...(await requireCaller(c.req.raw)), workspace_id: readWorkspace(c.req.raw.headers) });
  await next();
});

app.post('/jobs', (c) => createJob(c.req.raw, c.get('caller'), c.get('requestId')));
app.get('/jobs/:id', (c) => getJob(c.get('caller'), c.req.param('id')));
app.delete('/jobs/:id', (c) => cancelJob(c.get('caller'), c.req.param('id')));
// Without a caller: what shows a video cannot send a header. The link says whose it is and until when.
app.get('/files/:id/:until/:token', (c) =>
  getFile(c.req.raw, c.req.param('id'), c.req.param('until'), c.req.param('token')),
);
app.post('/sync', async (c) => {
  await requireServiceRole(c.req.raw);
  return c.json(await doDueWork());
});

export default { fetch: (request: Request) => app.fetch(request) };
