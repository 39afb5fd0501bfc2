/** Function `retrieval`: has the passages of a workspace's documents embedded, a batch a request. */
import { createApp } from '../_shared/app.ts';
import { requireCaller } from '../_shared/auth.ts';
import { readBytes } from '../_shared/body.ts';
import { readCallDetails, readWorkspace } from '../_shared/call-facts.ts';
import { embedPassages } from './embedding.ts';

const app = createApp('retrieval', ['x-credits-charged'], () => ' There is POST /embed.');

app.post('/embed', async (c) => {
  const { headers } = c.req.raw;
  const caller = { ...(await requireCaller(c.req.raw)), workspace_id: readWorkspace(headers) };
  await readBytes(c.req.raw, 1); // it has nothing to say
  return c.json(await embedPassages({ caller, details: readCallDetails(headers) }));
});

export default { fetch: (request: Request) => app.fetch(request) };
