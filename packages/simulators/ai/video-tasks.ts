/** The simulator's video tasks: a queue, work with progress, an end; by the clock, or by hand where a directive says so. */
import { randomInt, randomUUID } from 'node:crypto';
import type { VideoDirective } from './video-directives.ts';

const MAX_TASKS = 10_000;
/** Ms; so long a task waits and runs unless its directive says otherwise. */
const QUEUE_MS = 500;
const RUN_MS = 1_500;

/** Where a task stands. */
export type Standing = {
  status: 'pending' | 'processing' | 'completed' | 'failed' | 'canceled';
  /** 0 to 100. */
  progress: number;
};

/** One task. */
export interface VideoTask {
  id: string;
  key: string;
  model: string;
  prompt: string;
  mode: 't2v' | 'i2v';
  seconds: number;
  resolution: string | null;
  directive: VideoDirective;
  createdAt: number;
  /** Where its file is, as the simulator's callers reach it. */
  fileUrl: string;
  webhook: string | null;
  /** How often it was fetched. */
  fetches: number;
  /** What its webhook was answered with, try by try: a status, or what went wrong. */
  deliveries: (number | string)[];
  /** Set by hand; from then on the clock does nothing. */
  set: Standing | null;
}

type Start = Pick<VideoTask, 'key' | 'model' | 'prompt' | 'mode' | 'seconds' | 'resolution' | 'directive' | 'webhook'>;

/** The tasks of one simulator; the oldest are forgotten, so that its memory is bounded. */
export class VideoTasks {
  readonly #tasks = new Map<string, VideoTask>();

  /** Begins a task. `origin` is the simulator's own, as its caller reaches it. */
  start(origin: string, start: Start): VideoTask {
    const id = start.directive.uuid ? randomUUID() : String(randomInt(2 ** 47, 2 ** 48 - 1));
    const fileUrl = start.directive.file_url ?? `${origin}/files/${id}.mp4`;
    const task = { ...start, id, fileUrl, createdAt: Date.now(), fetches: 0, deliveries: [], set: null };
    this.#tasks.set(id, task);
    const oldest = this.#tasks.keys().next().value;
    if (this.#tasks.size > MAX_TASKS && oldest !== undefined) this.#tasks.delete(oldest);
    return task;
  }

  find(id: string): VideoTask | undefined {
    return this.#tasks.get(id);
  }

  /** Every task, or those of one key, oldest first. */
  list(key: string | undefined): VideoTask[] {
    return [...this.#tasks.values()].filter((task) => key === undefined || task.key === key);
  }

  forget(id: string): void {
    this.#tasks.delete(id);
  }
}

/** Where a task stands now. */
export function standingOf(task: VideoTask): Standing {
  if (task.set) return task.set;
  const { queue_ms = QUEUE_MS, run_ms = RUN_MS, fail, hold } = task.directive;
  if (fail === 'at_once') return { status: 'failed', progress: 0 };
  if (hold === 'pending') return { status: 'pending', progress: 0 };
  const ran = Date.now() - task.createdAt - queue_ms;
  if (ran < 0) return { status: 'pending', progress: 0 };
  if (hold === 'processing' || ran < run_ms) {
    return { status: 'processing', progress: Math.min(99, Math.floor((100 * ran) / Math.max(1, run_ms))) };
  }
  return fail === 'late' ? { status: 'failed', progress: 99 } : { status: 'completed', progress: 100 };
}

/** Ms until the clock ends a task; undefined where it never does. */
export function timeLeft(task: VideoTask): number | undefined {
  const { queue_ms = QUEUE_MS, run_ms = RUN_MS, fail, hold } = task.directive;
  if (hold) return undefined;
  return fail === 'at_once' ? 0 : task.createdAt + queue_ms + run_ms - Date.now();
}

/** Whether nothing more comes. */
export function isOver({ status }: Standing): boolean {
  return status !== 'pending' && status !== 'processing';
}
