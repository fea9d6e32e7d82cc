import type { FromWorker, JobName, Jobs, ToWorker } from '../messages.js';
import { cut } from './cut.js';
import { generateText } from './generate-text.js';
import { measure } from './measure.js';
import { start } from './start.js';
import { trainTiny } from './train-tiny.js';

/** Runs one job: an async iteration of its events, ended early by the signal. */
export type Run<K extends JobName> = (input: Jobs[K]['input'], signal: AbortSignal) => AsyncIterable<Jobs[K]['event']>;

const RUNS: { [K in JobName]: Run<K> } = { start, cut, generate: generateText, train: trainTiny, measure };
const running = new Map<number, AbortController>();
// tfjs has one engine: what is asked while a job runs waits for its end.
let queue: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.job === 'stop') running.get(data.id)?.abort();
  else {
    const controller = new AbortController();
    running.set(data.id, controller);
    queue = queue.then(() => perform(data, controller));
  }
};

async function perform({ id, job, input }: Exclude<ToWorker, { job: 'stop' }>, controller: AbortController): Promise<void> {
  const say = (message: FromWorker) => self.postMessage(message);
  try {
    for await (const event of (RUNS[job] as Run<JobName>)(input, controller.signal)) {
      say({ id, type: 'event', event });
      await letMessagesIn();
      if (controller.signal.aborted) break;
    }
    say({ id, type: 'end' });
  } catch (e) {
    say({ id, type: 'error', message: e instanceof Error ? e.message : String(e) });
  } finally {
    running.delete(id);
  }
}

/** Lets a stop message in. A timer would wait four milliseconds each time, as long as a byte takes. */
function letMessagesIn(): Promise<void> {
  return new Promise((resume) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resume();
    };
    port2.postMessage(null);
  });
}
