import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BackendName } from '@bytelm/core';
import { withWebgpu } from '../../tools/lib/webgpu-environment.mjs';
import type { Envelope, Job } from './worker.js';

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url));

/** Runs a job in a fresh process. @throws when the backend does not start or the job fails. */
export function runJob<R>(job: Job, threads: number): Promise<Envelope<R>> {
  return new Promise((done, fail) => {
    const child = fork(CHILD, [], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: { ...environmentFor(job.backend), ...threadLimits(threads) } });
    let noise = '';
    let answered = false;
    for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (d: Buffer) => (noise = (noise + d.toString()).slice(-2000)));
    child.on('message', (m: { ok: true; value: Envelope<R> } | { ok: false; error: string }) => {
      answered = true;
      if (m.ok) done(m.value);
      else fail(new Error(m.error));
    });
    child.on('error', fail);
    child.on('exit', (code, signal) => !answered && fail(new Error(`the ${job.backend} process ended early (${signal ?? `status ${code}`}): ${noise.trim()}`)));
    child.send(job);
  });
}

const environmentFor = (backend: BackendName): NodeJS.ProcessEnv => (backend === 'webgpu' ? withWebgpu() : { ...process.env });

/** TensorFlow takes its threads from the environment; wasm in Node has one in any case. */
const threadLimits = (n: number) => ({ TF_NUM_INTRAOP_THREADS: String(n), TF_NUM_INTEROP_THREADS: '1', OMP_NUM_THREADS: String(n), TF_CPP_MIN_LOG_LEVEL: '2' });
