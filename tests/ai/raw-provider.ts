/** A provider that sends exactly the bytes it is told to, and how, for what no honest simulator would send. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What it does next: bytes, a wait in ms, or how the connection ends; without an end it is closed in order. */
export type Step = string | Uint8Array | { wait: number } | 'silence' | 'reset';

/** One answer. */
export interface Script {
  steps: Step[];
  status?: number;
  /** `text/event-stream` unless said. */
  type?: string;
}

/** Such a provider; the text of a request's last message names its script, or else it answers 404. */
export class RawProvider {
  /** How often each script was asked for. */
  readonly asked = new Map<string, number>();
  /** Whose answers were not waited for to their end. */
  readonly left = new Set<string>();
  readonly #scripts = new Map<string, Script>();
  readonly #server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts).toString());
    const name = String(body.messages?.at(-1)?.content ?? body.input ?? body.prompt);
    this.asked.set(name, (this.asked.get(name) ?? 0) + 1);
    response.on('close', () => {
      if (!response.writableEnded) this.left.add(name);
    });
    await this.#play(response, this.#scripts.get(name) ?? { status: 404, steps: ['{}'] }).catch(() => undefined);
  });

  /** Starts it and returns its base URL. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** What it answers to a request of this name. */
  add(name: string, script: Script): void {
    this.#scripts.set(name, script);
  }

  async #play(response: ServerResponse, { steps, status = 200, type = 'text/event-stream' }: Script): Promise<void> {
    response.writeHead(status, { 'content-type': type });
    for (const step of steps) {
      if (step === 'silence') return;
      if (step === 'reset') {
        // What was sent is to arrive first.
        await sleep(30);
        response.destroy();
        return;
      }
      if (typeof step === 'object' && 'wait' in step) await sleep(step.wait);
      else if (!response.write(step)) await new Promise((resolve) => response.once('drain', resolve));
    }
    response.end();
  }
}
