/** The work that nobody's request does: asking for jobs that nobody told of, files that did not come, files to remove. */
import { callRpc, type SyncWork } from '../_shared/video/database.ts';
import { copyFile, removeFile } from '../_shared/video/files.ts';
import { syncJob, syncLastTime } from '../_shared/video/sync.ts';

const KINDS: SyncWork['kind'][] = ['fetch', 'copy', 'remove'];
/** How much of a kind is done at once, and for how long more is taken, ms: it ends before the platform's limit on a request. */
const MOST_AT_ONCE = 8;
const TAKES_FOR = 20_000;

/** How much of each kind was done; what failed is tried again later. Of jobs that `ended` no provider had to be asked. */
export interface WorkDone {
  ended: number;
  fetched: number;
  copied: number;
  removed: number;
  failed: number;
}

/** Does what is due, some at a time. Each kind for itself: a slow file keeps no job waiting. */
export async function doDueWork(): Promise<WorkDone> {
  const done: WorkDone = { ended: 0, fetched: 0, copied: 0, removed: 0, failed: 0 };
  const until = Date.now() + TAKES_FOR;
  await Promise.all(KINDS.map((kind) => workOff(kind, until, done)));
  return done;
}

/** Takes more as soon as something is done, not when all is. */
async function workOff(kind: SyncWork['kind'], until: number, done: WorkDone): Promise<void> {
  const running = new Set<Promise<void>>();
  while (Date.now() < until) {
    const { ended, work: works } = await callRpc('sync_video_jobs', {
      max_jobs: MOST_AT_ONCE - running.size,
      kinds: [kind],
    });
    done.ended += ended;
    for (const work of works) {
      const task = attempt(work).then((outcome) => {
        done[outcome] += 1;
        running.delete(task);
      });
      running.add(task);
    }
    if (ended === 0 && works.length === 0) break;
    if (running.size >= MOST_AT_ONCE) await Promise.race(running);
  }
  await Promise.all(running);
}

async function attempt(work: SyncWork): Promise<keyof WorkDone> {
  try {
    return await perform(work);
  } catch (error) {
    console.error(`video work ${work.kind} of ${'job' in work ? work.job.id : work.path} failed:`, error);
    return 'failed';
  }
}

async function perform(work: SyncWork): Promise<keyof WorkDone> {
  if (work.kind === 'copy') {
    await copyFile(work);
    return 'copied';
  }
  if (work.kind === 'remove') {
    const { bucket, path, next_try_at } = work;
    await removeFile(bucket, path);
    await callRpc('finish_file_removal', { bucket, path, next_try_at });
    return 'removed';
  }
  if (work.is_last) await syncLastTime(work);
  else if (!(await syncJob(work)).told) return 'failed';
  return 'fetched';
}
