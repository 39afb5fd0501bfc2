/** A provider of videos that answers as a test says, and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach } from 'vitest';

/** A request as it came. */
export interface Asked {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
}

/** How the next request is answered; each further one as the last of the list. */
export type StubAnswer = { status?: number; body?: unknown; headers?: Record<string, string> } | 'hang' | 'break';

/** A stub for the tests of one file: started before them, empty before each. */
export function useStub() {
  let answers: StubAnswer[] = [];
  const stub = {
    url: '',
    asked: [] as Asked[],
    answers: (...given: StubAnswer[]) => {
      answers = given;
    },
  };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request.setEncoding('latin1')) body += piece;
    const { method = '', url = '', headers } = request;
    stub.asked.push({ method, path: url, headers, body });
    answer((answers.length > 1 ? answers.shift() : answers[0]) ?? { status: 500 }, response);
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    stub.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    answers = [];
    stub.asked = [];
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  return stub;
}

function answer(given: StubAnswer, response: ServerResponse): void {
  if (given === 'hang') return;
  if (given === 'break') {
    response.destroy();
    return;
  }
  const { status = 200, body, headers } = given;
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body ?? {}));
}
