import type { FromWorker, JobName, Jobs, ToWorker } from './messages.js';

/** The worker, one job after the other: the events of a job as an async iteration, errors as exceptions. */
export class WorkerClient {
  private readonly worker = new Worker(new URL('./worker/worker.ts', import.meta.url), { type: 'module' });
  private readonly listeners = new Map<number, (message: FromWorker) => void>();
  private queue: Promise<unknown> = Promise.resolve();
  private next = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.listeners.get(data.id)?.(data);
    this.worker.onerror = (e) => {
      for (const [id, listen] of this.listeners) listen({ id, type: 'error', message: e.message || 'the worker stopped' });
    };
  }

  /**
   * @param signal Ends the job after what it is at.
   * @throws Error with the worker's message.
   */
  async *run<K extends JobName>(job: K, input: Jobs[K]['input'], signal?: AbortSignal): AsyncGenerator<Jobs[K]['event'], void, undefined> {
    const before = this.queue;
    let release = () => {};
    this.queue = new Promise<void>((done) => (release = done));
    await before;
    const id = this.next++;
    const inbox: FromWorker[] = [];
    let wake = () => {};
    this.listeners.set(id, (message) => {
      inbox.push(message);
      wake();
    });
    const stop = () => this.worker.postMessage({ id, job: 'stop' } satisfies ToWorker);
    let open = true;
    try {
      if (signal?.aborted) return;
      signal?.addEventListener('abort', stop);
      this.worker.postMessage({ id, job, input } as ToWorker);
      for (;;) {
        while (!inbox.length) await new Promise<void>((resume) => (wake = resume));
        const message = inbox.shift()!;
        if (message.type === 'event') yield message.event as Jobs[K]['event'];
        else {
          open = false;
          if (message.type === 'error') throw new Error(message.message);
          return;
        }
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      if (open) stop();
      this.listeners.delete(id);
      release();
    }
  }
}
