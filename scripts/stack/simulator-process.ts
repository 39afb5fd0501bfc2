/** Serves the AI simulator on SIMULATOR_PORT of this machine until its stdin closes, which its supervisor holds open. */
import { serve } from '@hono/node-server';
import { createAiSimulator } from './ai-simulator.ts';

serve({ fetch: createAiSimulator().fetch, hostname: '127.0.0.1', port: Number(process.env.SIMULATOR_PORT) });
process.stdin.resume().once('close', () => process.exit(0));
