/** One simulator on a port of its own, and clients for it. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import OpenAI from 'openai';
import { z } from 'zod';
import { createAiSimulator } from '../ai/index.ts';

const reportSchema = z.object({ requests: z.array(z.record(z.string(), z.unknown())) });

/** A running simulator. */
export interface RunningSimulator {
  url: string;
  /** The official client, which does not retry unless told so. */
  client(options?: { maxRetries?: number }): OpenAI;
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  requests(key: string): Promise<Record<string, unknown>[]>;
  stop(): Promise<void>;
}

/** Starts a simulator on any free port. */
export async function startSimulator(): Promise<RunningSimulator> {
  const server = createServer(getRequestListener(createAiSimulator().fetch));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${portOf(server)}`;
  return {
    url,
    client: ({ maxRetries = 0 } = {}) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries }),
    post: (path, body, init) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { authorization: 'Bearer any', 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...init,
      }),
    requests: async (key) => {
      const response = await fetch(`${url}/__simulator/requests?key=${encodeURIComponent(key)}`);
      return reportSchema.parse(await response.json()).requests;
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('the simulator listens on no port');
  return address.port;
}

/** A user message that carries a directive. */
export function directed(directive: object, text = 'Hello'): { role: 'user'; content: string } {
  return { role: 'user', content: `${text} [[simulate:${JSON.stringify(directive)}]]` };
}
