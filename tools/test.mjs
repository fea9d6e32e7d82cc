// Everything there is to check, in one command: sets up what the tests need, runs them on every backend, replays the golden cases,
// checks types, style, packages and documentation. A part that can't be had here is skipped with one line that says why; in CI
// (`CI=true`) that is a failure. Two parts run at a time, and each says how it went when it ends. The last line is `N passed, N failed`.
// Usage: node tools/test.mjs [--checks | --quick | --all] [filter ...]
//   --checks   only types, style and packages
//   --quick    only the tests that need no set-up (projects unit and embedded)
//   --all      all golden cases in the browser too, of which otherwise a part runs there
//   filter     only the test files whose path contains one of these
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { documentation, interfaces, packages, style, types } from './lib/checks.mjs';
import { node } from './lib/child.mjs';
import { goldenCases } from './lib/golden-part.mjs';
import { atATime } from './lib/at-a-time.mjs';
import { setUp } from './lib/set-up.mjs';
import { Tally } from './lib/tally.mjs';
import { vitestProject } from './lib/vitest-part.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const filters = args.filter((a) => !a.startsWith('--'));
const only = { checks: args.includes('--checks'), quick: args.includes('--quick') };
if (args.includes('--all')) process.env.BYTELM_BROWSER = 'all';
const tally = new Tally();

const tests = (project, needs) => ({ kind: 'tests', name: project, needs, run: () => vitestProject(root, project, filters, tally) });
const golden = (backend, needs) => ({ kind: 'golden', name: `golden cases on ${backend}`, needs, run: () => goldenCases(root, backend, tally) });
const check = (run) => ({ kind: 'check', name: run.name, run: () => run(root, tally) });

/** Most parts use one core. The longest begin first, so that none is left alone at the end; `needs` names a set-up. */
const parts = [
  tests('webgpu', 'vulkan'),
  tests('unit'),
  tests('browser', 'browser'),
  tests('embedded'),
  tests('tensorflow', 'tensorflow'),
  golden('webgpu', 'vulkan'),
  check(packages),
  golden('cpu'),
  golden('tensorflow', 'tensorflow'),
  golden('wasm'),
  check(documentation),
  check(types),
  check(interfaces),
  check(style),
];
const isWanted = ({ kind, needs }) => (only.checks ? kind === 'check' : only.quick ? kind === 'tests' && !needs : kind === 'tests' || !filters.length);
const wanted = parts.filter(isWanted);

// Set-ups download, and compile other things than this.
const [generated, missing] = await Promise.all([node(root, ['tools/generate.mjs']), setUp(root, wanted.map((p) => p.needs))]);
tally.whole('generated sources', generated);
if (generated.ok) await atATime(2, wanted, ({ name, needs, run }) => (missing.has(needs) ? tally.skip(name, missing.get(needs)) : run()));
tally.end();
