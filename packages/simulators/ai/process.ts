/** Serves the AI simulator on PORT of this machine until its stdin closes, which its supervisor holds open. */
import { serve } from '@hono/node-server';
import { createAiSimulator } from './index.ts';

serve({ fetch: createAiSimulator().fetch, hostname: '127.0.0.1', port: Number(process.env.PORT) });
process.stdin.resume().once('close', () => process.exit(0));
