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

/** One file after the other: beside it another part runs. @param {string} root @param {string} project @param {string[]} filters file names or parts of them @param {import('./tally.mjs').Tally} tally */
export async function vitestProject(root, project, filters, tally) {
  const folder = mkdtempSync(join(tmpdir(), 'bytelm-vitest-'));
  const file = join(folder, 'report.json');
  const cli = join(dirname(require.resolve('vitest/package.json')), 'vitest.mjs');
  const run = await child(process.execPath, [cli, 'run', ...choose(project), '--reporter=default', '--reporter=json', `--outputFile.json=${file}`, '--passWithNoTests', ...filters], {
    cwd: root,
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2', NO_COLOR: '1', FORCE_COLOR: '0', VITEST_MAX_WORKERS: '1' },
    minutes: 40,
  });
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    const files = report.testResults;
    // A file that does not even load has no tests to count.
    const broken = files.filter((f) => f.status === 'failed' && !f.assertionResults.some((a) => a.status === 'failed'));
    const failed = report.numFailedTests + broken.length;
    const skipped = report.numPendingTests + report.numTodoTests;
    if (failed || !run.ok) console.log(tail(run.output, 200));
    // An error outside of any test makes vitest fail with all tests green.
    tally.add(project, { passed: report.numPassedTests, failed: failed || (run.ok ? 0 : 1), seconds: run.seconds, note: `${files.length} files${skipped ? `, ${skipped} tests skipped` : ''}` });
  } catch (e) {
    console.log(tail(run.output, 60));
    tally.add(project, { passed: 0, failed: 1, seconds: run.seconds, note: `vitest gave no report: ${run.status}, ${e.message}` });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
