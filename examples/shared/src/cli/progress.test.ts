import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgress } from './progress.js';

/** A stream that remembers what was written. */
function fakeStream(isTTY: boolean) {
  const written: string[] = [];
  const stream = { isTTY, columns: 100, write: (text: string) => written.push(text), on: () => stream, once: () => stream, removeListener: () => stream };
  return { written, stream: stream as unknown as NodeJS.WriteStream };
}

describe('progress', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('without a terminal: a plain line now and then, with rate and time left, and the last one', () => {
    const { written, stream } = fakeStream(false);
    const progress = createProgress({ total: 100, unit: 'step', stream, interval: 5 });
    for (let step = 1; step <= 100; step++) {
      vi.advanceTimersByTime(1000);
      progress.update(step, `loss ${step}`);
    }
    progress.stop();
    expect(written[0]).toBe('step 1/100 · loss 1 · 1m 39s left\n');
    expect(written[1]).toBe('step 6/100 · loss 6 · 1m 34s left\n');
    expect(written.at(-1)).toBe('step 100/100 · loss 100 · 0s left\n');
    expect(written).toHaveLength(21);
    expect(written.join('')).not.toContain('\u001b');
  });

  it('a resumed run counts time from where it began', () => {
    const { written, stream } = fakeStream(false);
    const progress = createProgress({ total: 1000, start: 900, unit: 'step', stream });
    vi.advanceTimersByTime(2000);
    progress.update(901, 'loss 1');
    progress.stop();
    expect(written).toEqual(['step 901/1000 · loss 1 · 3m 18s left\n']);
  });

  it('on a terminal: a bar in one line; other lines stand above it', () => {
    const { written, stream } = fakeStream(true);
    const progress = createProgress({ total: 4, unit: 'step', stream });
    vi.advanceTimersByTime(1000);
    progress.update(2, 'loss 1.5');
    progress.log('saved');
    vi.advanceTimersByTime(1000);
    progress.update(4, 'loss 1.0');
    progress.stop();
    const all = written.join('');
    expect(all).toContain('step 4/4 · loss 1.0 · 0s left');
    expect(all).toContain('saved\n');
    expect(all).toContain('█');
    // Neither the cursor is hidden nor wrapping switched off: a killed process would leave the terminal like that.
    for (const mode of ['[?25l', '[?7l']) expect(all).not.toContain(mode);
  });
});
