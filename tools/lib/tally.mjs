// Counts what passed and failed over all parts of the test command and says so as it goes.

export class Tally {
  passed = 0;
  failed = 0;
  /** In CI nothing may be skipped: a missing backend there is a broken set-up. */
  strict = process.env.CI === 'true';

  /** @param {string} part @param {{ passed: number, failed: number, seconds?: number, note?: string }} result */
  add(part, { passed, failed, seconds, note }) {
    this.passed += passed;
    this.failed += failed;
    const time = seconds === undefined ? '' : `, ${seconds.toFixed(0)} s`;
    console.log(`${failed ? '✗' : '✓'} ${part}: ${passed} ok, ${failed} not ok${time}${note ? ` (${note})` : ''}`);
  }

  skip(part, reason) {
    if (this.strict) this.failed++;
    console.log(`${this.strict ? '✗' : '-'} ${part}: ${this.strict ? 'missing' : 'skipped'}: ${reason}`);
  }

  /** A part that passes or fails as a whole. @param {string} part @param {{ ok: boolean, output: string, status: string, seconds: number }} run */
  whole(part, run) {
    if (!run.ok) console.log(tail(run.output, 60));
    this.add(part, { passed: run.ok ? 1 : 0, failed: run.ok ? 0 : 1, seconds: run.seconds, note: run.ok ? undefined : run.status });
  }

  end() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exitCode = this.failed ? 1 : 0;
  }
}

/** The last lines of an output. */
export const tail = (text, lines) => text.trimEnd().split('\n').slice(-lines).join('\n');
