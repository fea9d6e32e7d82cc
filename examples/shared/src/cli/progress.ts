import { SingleBar } from 'cli-progress';
import { duration } from './format.js';

export interface ProgressOptions {
  /** Units of the whole work. */
  total: number;
  /** Units already done (a resumed run). Default 0. */
  start?: number;
  /** What is counted, e.g. `step`. */
  unit: string;
  /** Default: standard error. */
  stream?: NodeJS.WriteStream;
  /** Without a terminal: seconds between lines. Default 5. */
  interval?: number;
}

/** How far a long task is: a bar with rate and time left on a terminal, now and then a plain line elsewhere. */
export interface Progress {
  /** @param detail Shown behind the count, e.g. `loss 1.234`. */
  update(done: number, detail: string): void;
  /** A line of its own above the bar. */
  log(line: string): void;
  stop(): void;
}

export function createProgress(options: ProgressOptions): Progress {
  const stream = options.stream ?? process.stderr;
  return stream.isTTY ? new Bar(options, stream) : new Lines(options, stream);
}

/** Time left by the pace of the last minute, so that warming up at the start does not count for long. */
class Pace {
  private readonly seen: { at: number; done: number }[] = [];

  constructor(
    private readonly total: number,
    start: number,
  ) {
    this.seen.push({ at: performance.now(), done: start });
  }

  /** Seconds, or `NaN` before anything is known. */
  left(done: number): number {
    const now = performance.now();
    this.seen.push({ at: now, done });
    while (this.seen.length > 2 && (now - this.seen[0]!.at > 60_000 || this.seen.length > 500)) this.seen.shift();
    const [first] = this.seen;
    return done > first!.done ? ((now - first!.at) / 1000 / (done - first!.done)) * (this.total - done) : NaN;
  }
}

const leftText = (seconds: number): string => (Number.isFinite(seconds) ? ` · ${duration(seconds)} left` : '');

class Bar implements Progress {
  private readonly bar: SingleBar;
  private readonly pace: Pace;

  constructor(
    { total, start = 0, unit }: ProgressOptions,
    private readonly stream: NodeJS.WriteStream,
  ) {
    this.pace = new Pace(total, start);
    const format = `{bar} ${unit} {value}/{total} · {detail}{left}`;
    // Nothing that would stay behind in the terminal of a killed process: cursor and wrapping are left alone, long lines are cut.
    this.bar = new SingleBar({ format, stream, hideCursor: false, barsize: 20, barCompleteChar: '█', barIncompleteChar: '░', linewrap: true, gracefulExit: false });
    this.bar.start(total, start, { detail: 'starting', left: '' });
  }

  update(done: number, detail: string): void {
    this.bar.update(done, { detail, left: leftText(this.pace.left(done)) });
  }

  log(line: string): void {
    this.stream.write(`\r\u001b[K${line}\n`);
  }

  stop(): void {
    this.bar.stop();
  }
}

class Lines implements Progress {
  private readonly pace: Pace;
  private readonly interval: number;
  private shown = -Infinity;
  private last = '';

  constructor(
    private readonly options: ProgressOptions,
    private readonly stream: NodeJS.WriteStream,
  ) {
    this.pace = new Pace(options.total, options.start ?? 0);
    this.interval = (options.interval ?? 5) * 1000;
  }

  update(done: number, detail: string): void {
    const { unit, total } = this.options;
    const left = this.pace.left(done);
    this.last = `${unit} ${done}/${total} · ${detail}${leftText(left)}`;
    const now = performance.now();
    if (now - this.shown >= this.interval) this.flush(now);
  }

  private flush(now: number): void {
    if (this.last) this.stream.write(`${this.last}\n`);
    this.last = '';
    this.shown = now;
  }

  log(line: string): void {
    this.stream.write(`${line}\n`);
  }

  stop(): void {
    this.flush(performance.now());
  }
}
