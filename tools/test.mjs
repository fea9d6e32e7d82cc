// Everything there is to check, in one command: sets up what the tests need, runs them on every backend, replays the golden cases,
// checks types, style, packages and documentation. A part that can't be had here is skipped with one line that says why; in CI
// (`CI=true`) that is a failure. The last line is `N passed, N failed`.
// Usage: node tools/test.mjs [--checks | --quick | --all] [filter ...]
//   --checks   only types, style and packages
//   --quick    only the tests that need no set-up (projects unit and embedded)
//   --all      all golden cases in the browser too, of which otherwise a part runs there
//   filter     only the test files whose path contains one of these
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checks } from './lib/checks.mjs';
import { child } from './lib/child.mjs';
import { Tally, tail } from './lib/tally.mjs';
import { Unavailable } from './lib/run.mjs';
import { vitestProject } from './lib/vitest-part.mjs';
import { setupBrowser } from './setup-browser.mjs';
import { setupTensorflow } from './setup-tensorflow.mjs';
import { setupVulkan } from './setup-vulkan.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const filters = args.filter((a) => !a.startsWith('--'));
const only = { checks: args.includes('--checks'), quick: args.includes('--quick') };
if (args.includes('--all')) process.env.BYTELM_BROWSER = 'all';
const tally = new Tally();

const generated = await child(process.execPath, [join(root, 'tools', 'generate.mjs')], { cwd: root });
tally.whole('generated sources', generated);
if (!generated.ok) tally.end();
else {
  if (!only.checks) await tests();
  if (!only.quick && !filters.length) await checks(root, tally);
  tally.end();
}

async function tests() {
  for (const project of ['unit', 'embedded']) tally.add(project, await vitestProject(root, project, filters));
  if (only.quick) return;
  const setups = { tensorflow: () => setupTensorflow(), webgpu: () => setupVulkan(), browser: () => setupBrowser() };
  for (const [project, setup] of Object.entries(setups)) {
    try {
      await setup();
    } catch (e) {
      if (!(e instanceof Unavailable)) throw e;
      tally.skip(project, e.message);
      continue;
    }
    tally.add(project, await vitestProject(root, project, filters));
  }
  if (!filters.length) await goldenCases();
}

/** `pnpm fixtures` on every backend; it says itself what it skips and, in CI, fails for it. */
async function goldenCases() {
  const run = await child(process.execPath, [join(root, 'tools', 'launch.mjs'), 'tools/fixtures/main.ts', '--json'], { cwd: root, minutes: 30, env: { ...process.env, GALLIVM_PERF: 'nopt' } });
  try {
    const report = JSON.parse(run.output.slice(run.output.indexOf('{')));
    for (const b of report.backends) {
      if (b.skipped) console.log(`- golden cases on ${b.name}: ${b.skipped}`);
      else {
        const own = report.results.filter((r) => r.backend === b.name);
        console.log(`  golden cases on ${b.name} (${b.device}): ${own.filter((r) => r.ok).length} of ${own.length}`);
      }
    }
    for (const r of report.results.filter((r) => !r.ok)) console.log(`  ✗ ${r.backend} ${r.case}: ${r.error ?? r.tensors.filter((t) => !t.ok).map((t) => `${t.tensor} error ${t.error}`).join(', ')}`);
    tally.add('golden cases', { passed: report.passed, failed: report.failed, seconds: run.seconds });
  } catch (e) {
    console.log(tail(run.output, 60));
    tally.add('golden cases', { passed: 0, failed: 1, seconds: run.seconds, note: `no report: ${run.status}, ${e.message}` });
  }
}
