/** Function `ai`: an OpenAI-compatible API that charges credits. The official clients use it by their base URL. */
import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import { requireUser } from '../_shared/auth.ts';
import { readAiProvider } from '../_shared/env.ts';
import { ApiError, errorResponse } from '../_shared/errors.ts';
import { completeChat } from './chat.ts';
import { getModel, listModels } from './models.ts';

type Env = { Variables: { requestId: string; userId: string } };

const provider = readAiProvider(Deno.env);
const app = new Hono<Env>().basePath('/ai');

// No allowHeaders: preflights are granted what they ask for, or each client's telemetry header would have to be known.
app.use(
  cors({ origin: '*', exposeHeaders: ['x-request-id', 'x-credits-charged', 'x-credits-available', 'retry-after'] }),
);
app.use(async (c, next) => {
  c.set('requestId', `req_${crypto.randomUUID().replaceAll('-', '')}`);
  await next();
  c.res.headers.set('x-request-id', c.get('requestId'));
});
app.use('/v1/*', async (c, next) => {
  c.set('userId', await requireUser(c.req.raw));
  await next();
});

app.post('/v1/chat/completions', (c) => completeChat(c.req.raw, c.get('userId'), c.get('requestId'), provider));
app.get('/v1/models', async (c) => c.json(await listModels()));
app.get('/v1/models/:model{.+}', async (c) => c.json(await getModel(c.req.param('model'))));

app.notFound((c: Context<Env>) =>
  errorResponse(new ApiError(404, 'not_found', `There is no ${c.req.method} ${c.req.path}.`), c.get('requestId')),
);
app.onError((error, c: Context<Env>) => errorResponse(error, c.get('requestId')));

export default { fetch: (request: Request) => app.fetch(request) };
