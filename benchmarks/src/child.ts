// Started by processes.ts: gets one job, sends one answer.
import { work, type Job } from './worker.js';

process.once('message', (job: Job) => {
  work(job)
    .then(
      (value) => process.send!({ ok: true, value }),
      (e: unknown) => process.send!({ ok: false, error: e instanceof Error ? e.message : String(e) }),
    )
    .finally(() => setTimeout(() => process.disconnect(), 50));
});
