/** Function `video`: jobs that make videos, paid when they are made and refunded when they fail. */
import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import { type Caller, requireCaller, requireServiceRole } from '../_shared/auth.ts';
import { readWorkspace } from '../_shared/call-facts.ts';
import { ApiError, errorResponse } from '../_shared/errors.ts';
import { cancelJob, createJob, getFile, getJob } from './jobs.ts';
import { JOB_ID_HEADER } from './submit.ts';
import { doDueWork } from './work.ts';

type Env = { Variables: { requestId: string; caller: Caller } };

/** Headers of ours that a browser may read. */
const EXPOSED = [
  ...['x-request-id', 'x-credits-charged', 'x-credits-available', JOB_ID_HEADER],
  ...['x-should-retry', 'retry-after'],
];
const app = new Hono<Env>().basePath('/video');

// No allowHeaders: preflights are granted what they ask for, or each client's telemetry header would have to be known.
app.use(cors({ origin: '*', exposeHeaders: EXPOSED }));
app.use(async (c, next) => {
  c.set('requestId', `req_${crypto.randomUUID().replaceAll('-', '')}`);
  await next();
  c.res.headers.set('x-request-id', c.get('requestId'));
});
app.use('/jobs/*', async (c, next) => {
  c.set('caller', { ...(await requireCaller(c.req.raw)), workspace_id: readWorkspace(c.req.raw.headers) });
  await next();
});

app.post('/jobs', (c) => createJob(c.req.raw, c.get('caller'), c.get('requestId')));
app.get('/jobs/:id', (c) => getJob(c.get('caller'), c.req.param('id')));
app.delete('/jobs/:id', (c) => cancelJob(c.get('caller'), c.req.param('id')));
// Without a caller: what shows a video cannot send a header. The link says whose it is and until when.
app.get('/files/:id/:until/:token', (c) =>
  getFile(c.req.param('id'), c.req.param('until'), c.req.param('token'), c.req.header('range')),
);
app.post('/sync', async (c) => {
  await requireServiceRole(c.req.raw);
  return c.json(await doDueWork());
});

app.notFound((c: Context<Env>) =>
  errorResponse(new ApiError(404, 'not_found', `There is no ${c.req.method} ${c.req.path}.`), c.get('requestId')),
);
app.onError((error, c: Context<Env>) => errorResponse(error, c.get('requestId')));

export default { fetch: (request: Request) => app.fetch(request) };
