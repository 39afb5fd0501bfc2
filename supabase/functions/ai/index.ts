/** Function `ai`: an OpenAI-compatible API that charges credits. The official clients use it by their base URL. */
import type { Context } from 'hono';
import { type AppEnv, createApp } from '../_shared/app.ts';
import { type Caller, requireCaller } from '../_shared/auth.ts';
import { readBytes } from '../_shared/body.ts';
import { readWorkspace } from '../_shared/call-facts.ts';
import { chat } from './chat.ts';
import { answerMessage } from './conversations.ts';
import { embeddings } from './embeddings.ts';
import { answerCall, type Endpoint } from './endpoint.ts';
import { followAnswer, stopAnswer, type WantedAnswer } from './follow.ts';
import { images } from './images.ts';
import { getModel, listModels } from './models.ts';

type AiEnv = AppEnv & { Variables: { caller: Caller } };

/** Headers of ours that a browser may read. */
const EXPOSED = [
  ...['x-first-request-id', 'x-credits-charged', 'x-credits-available', 'x-credits-held', 'x-output-limit'],
  ...['x-message-id', 'x-answer-id'],
];
/** What to use for paths of OpenAI's API and others' that are not served. */
const INSTEAD: [RegExp, string][] = [
  [/^(?!.*\/v1(\/|$))/, ' Paths begin with /v1.'],
  [
    /\/conversations\b/,
    ' Read conversations by supabase-js; POST /v1/conversations/{id}/messages has a message answered.',
  ],
  [/\/(responses|completions|messages|threads|assistants)\b/, ' Use POST /v1/chat/completions.'],
  [/\/embeddings\b/, ' Use POST /v1/embeddings.'],
  [/\/images\b/, ' Use POST /v1/images/generations.'],
  [/\/videos\b/, ' Use POST /jobs of function video.'],
];
const SERVED = ' There are POST /v1/chat/completions, /v1/embeddings and /v1/images/generations, and GET /v1/models.';
const app = createApp<AiEnv>('ai', EXPOSED, (path) => INSTEAD.find(([kind]) => kind.test(path))?.[1] ?? SERVED);

app.use('/v1/*', async (c, next) => {
  const caller = await requireCaller(c.req.raw).catch(async (error) => {
    // Not kept, let alone parsed; but a client that is still sending would not hear the answer.
    await readBytes(c.req.raw, 0).catch(() => undefined);
    throw error;
  });
  c.set('caller', { ...caller, workspace_id: readWorkspace(c.req.raw.headers) });
  await next();
});

for (const endpoint of [chat, embeddings, images] as Endpoint<{ model: string }>[]) {
  app.post(`/v1${endpoint.path}`, (c) => answerCall(endpoint, c.req.raw, c.get('caller'), c.get('requestId')));
}
const MESSAGES = '/v1/conversations/:conversation/messages';
app.post(MESSAGES, (c) => {
  const asked = { conversationId: c.req.param('conversation'), action: 'send' } as const;
  return answerMessage(c.req.raw, c.get('caller'), c.get('requestId'), asked);
});
for (const [path, action] of [
  ['answers', 'answer'],
  ['continue', 'continue'],
] as const) {
  app.post(`${MESSAGES}/:message/${path}`, (c) => {
    const asked = { conversationId: c.req.param('conversation'), action, messageId: c.req.param('message') };
    return answerMessage(c.req.raw, c.get('caller'), c.get('requestId'), asked);
  });
}
app.get('/v1/models', async (c) => c.json(await listModels(c.get('caller'))));
app.get('/v1/models/:model{.+}', async (c) => {
  return c.json(await getModel(c.get('caller'), c.req.param('model').replace(/\/$/, '')));
});
const ANSWER = '/v1/conversations/:conversation/messages/:message';
const wantedAnswer = (c: Context<AiEnv, typeof ANSWER>): WantedAnswer => ({
  caller: c.get('caller'),
  conversationId: c.req.param('conversation'),
  messageId: c.req.param('message'),
  requestId: c.get('requestId'),
});
app.get(`${ANSWER}/stream`, (c) => followAnswer(c.req.raw, wantedAnswer(c)));
app.post(`${ANSWER}/stop`, (c) => stopAnswer(wantedAnswer(c)));

export default { fetch: (request: Request) => app.fetch(request) };
