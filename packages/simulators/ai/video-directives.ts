/** How a caller steers a video task: further members of `[[simulate:{…}]]` in its prompt. */
import { z } from 'zod';

const milliseconds = z.number().min(0).max(600_000);
const failureStatus = z.number().int().min(400).max(599);

/** What only video tasks know. */
export const videoDirectives = {
  /** How long the task waits before it begins, and then runs. */
  queue_ms: milliseconds.optional(),
  run_ms: milliseconds.optional(),
  /** Stays so until `PATCH /__simulator/videos/{id}` moves it: a task that never ends. */
  hold: z.enum(['pending', 'processing']).optional(),
  /** Waits before it answers the submission, when the task is made already. */
  answer_delay_ms: milliseconds.optional(),
  /** Fails: in the answer to its own submission (with 200), or after it has run. */
  fail: z.enum(['at_once', 'late']).optional(),
  /** What the failed task says. */
  fail_message: z.string().max(20_000).optional(),
  /** Is made, and then known to nobody: each fetch answers 404. */
  lost: z.boolean().optional(),
  /** Each fetch answers with this status … */
  fetch_error: failureStatus.optional(),
  /** … or only the first so many do. */
  fetch_errors: z.number().int().min(1).max(1000).optional(),
  /** Waits before it answers a fetch. */
  fetch_delay_ms: milliseconds.optional(),
  /** Answers a cancellation (`DELETE /v1/videos/{id}`) with this status. */
  cancel_error: failureStatus.optional(),
  /** The id is a uuid; else it is digits. */
  uuid: z.boolean().optional(),
  /** Sends the id as a JSON number. */
  numeric_id: z.boolean().optional(),
  /** Other words for its statuses: `{"processing": "running", "completed": "succeeded"}`. */
  words: z.record(z.string(), z.string()).optional(),
  /** How often the webhook is sent; once without it. */
  webhooks: z.number().int().min(0).max(20).optional(),
  /** Sends a webhook before the answer to the submission as well, and waits for it to be taken. */
  webhook_early: z.boolean().optional(),
  /** Members that the webhook's body gets over the true ones: lies. */
  webhook_body: z.record(z.string(), z.unknown()).optional(),
  /** What is served as the file; a good one of the asked length without it. */
  file: z
    .enum([
      'large',
      'redirect',
      'redirect_loop',
      'redirect_inner',
      'wrong_type',
      'html',
      'missing',
      'slow',
      'cut',
      'none',
    ])
    .optional(),
  /** How many bytes a `large` file has; a gigabyte without it. */
  file_bytes: z.number().int().min(1_000).max(4_000_000_000).optional(),
  /** Where `redirect_inner` leads. */
  redirect_url: z.string().optional(),
  /** The address to give for the file, whatever it names. */
  file_url: z.string().optional(),
};

const schema = z.object(videoDirectives);

/** What a caller asked for. */
export type VideoDirective = z.infer<typeof schema>;
