import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { writeFileAtomic } from '@bytelm/core/io';

/** One JSON object a line, each written at once: what happened is in the file even if the process dies. */
export class TrainLog {
  private fd: number | undefined;
  /** Why nothing is written any more. A full disk stops the log, never the training. */
  failure: string | undefined;

  private constructor(readonly path: string) {
    try {
      this.fd = openSync(path, 'a');
    } catch (e) {
      this.failure = (e as Error).message;
    }
  }

  /** @param keepUpTo A resumed run: lines of later steps, from work that was lost, are dropped. */
  static async open(path: string, keepUpTo: number): Promise<TrainLog> {
    const kept = readLines(path).filter(({ step }) => typeof step === 'number' && step <= keepUpTo);
    await writeFileAtomic(path, kept.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return new TrainLog(path);
  }

  write(line: Record<string, unknown>): void {
    if (this.failure !== undefined) return;
    try {
      writeSync(this.fd!, `${JSON.stringify(line)}\n`);
    } catch (e) {
      this.failure = (e as Error).message;
    }
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }
}

/** Objects of a log; a line that was cut off is left out. An absent file has none. */
export function readLines(path: string): Record<string, unknown>[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    try {
      return line ? [JSON.parse(line) as Record<string, unknown>] : [];
    } catch {
      return [];
    }
  });
}
