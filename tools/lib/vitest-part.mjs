// One vitest project as a part of the test command.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { child } from './child.mjs';
import { tail } from './tally.mjs';

const require = createRequire(import.meta.url);
/** Projects of vitest.config.ts are chosen by name; the one in a browser has a configuration of its own. */
const choose = (project) => (project === 'browser' ? ['--config', 'vitest.browser.config.ts'] : ['--project', project]);

/** @param {string} root @param {string} project @param {string[]} filters file names or parts of them */
export async function vitestProject(root, project, filters = []) {
  const folder = mkdtempSync(join(tmpdir(), 'bytelm-vitest-'));
  const file = join(folder, 'report.json');
  const cli = join(dirname(require.resolve('vitest/package.json')), 'vitest.mjs');
  const run = await child(process.execPath, [cli, 'run', ...choose(project), '--reporter=default', '--reporter=json', `--outputFile.json=${file}`, '--passWithNoTests', ...filters], {
    cwd: root,
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2', NO_COLOR: '1', FORCE_COLOR: '0' },
    show: (l) => / FAIL |^ ❯ |AssertionError|^Error: |✗|×/.test(l),
    minutes: 30,
  });
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    const files = report.testResults;
    // A file that does not even load has no tests to count.
    const broken = files.filter((f) => f.status === 'failed' && !f.assertionResults.some((a) => a.status === 'failed'));
    const failed = report.numFailedTests + broken.length;
    if (failed || !run.ok) console.log(tail(run.output, 200));
    const skipped = report.numPendingTests + report.numTodoTests;
    // An error outside of any test makes vitest fail with all tests green.
    return { passed: report.numPassedTests, failed: failed || (run.ok ? 0 : 1), seconds: run.seconds, note: `${files.length} files${skipped ? `, ${skipped} tests skipped` : ''}` };
  } catch (e) {
    console.log(tail(run.output, 60));
    return { passed: 0, failed: 1, seconds: run.seconds, note: `vitest gave no report: ${run.status}, ${e.message}` };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
