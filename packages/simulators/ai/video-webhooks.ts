/** Telling a task's webhook that it is over, again where it was not taken, as often as the directive wants. */
import { setTimeout as sleep } from 'node:timers/promises';
import { timeLeft, type VideoTask } from './video-tasks.ts';

/** Waits before a webhook that was not taken is sent again, ms. The provider waits 2, 4 and 6 seconds. */
const WAITS = [200, 400, 600];
const PATIENCE = 10_000;

/** Sends the webhook once the clock has ended the task. `body` makes what is sent at that moment. */
export async function announceEnd(task: VideoTask, body: (task: VideoTask) => object): Promise<void> {
  const wait = timeLeft(task);
  if (wait === undefined) return;
  // A hair late, so that the task is over by the clock that answers fetches.
  await sleep(Math.max(0, wait) + 5, undefined, { ref: false });
  if (!task.set) await announce(task, body);
}

/** Sends the webhook now, at once as many times as the directive says. */
export async function announce(task: VideoTask, body: (task: VideoTask) => object, times?: number): Promise<void> {
  const count = times ?? task.directive.webhooks ?? 1;
  await Promise.all(Array.from({ length: count }, () => deliver(task, body)));
}

async function deliver(task: VideoTask, body: (task: VideoTask) => object): Promise<void> {
  if (!task.webhook) return;
  for (const wait of [...WAITS, undefined]) {
    const outcome = await post(task.webhook, { ...body(task), ...task.directive.webhook_body });
    task.deliveries.push(outcome);
    if (outcome === 200 || wait === undefined) return;
    await sleep(wait, undefined, { ref: false });
  }
}

async function post(url: string, body: object): Promise<number | string> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'manual',
      signal: AbortSignal.timeout(PATIENCE),
    });
    await response.body?.cancel();
    return response.status;
  } catch (error) {
    return String(error);
  }
}
