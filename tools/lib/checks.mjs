// The static parts of the test command: types, style, the packages as they would be published, the documentation's examples.
import { createRequire } from 'node:module';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { child, node } from './child.mjs';
import { undeclaredImports } from './dist-imports.mjs';
import { tail } from './tally.mjs';

const require = createRequire(import.meta.url);
const binOf = (name, file) => join(dirname(require.resolve(`${name}/package.json`)), file);
/** pnpm by the name that is always there; publint and turbo call it too, so it must be on their PATH. */
const PNPM = ['-y', `pnpm@${JSON.parse(readFileSync(join(dirname(require.resolve('../../package.json')), 'package.json'), 'utf8')).packageManager.split('@')[1]}`];
const QUIET = { TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', NO_COLOR: '1', FORCE_COLOR: '0' };

/** @typedef {(root: string, tally: import('./tally.mjs').Tally) => Promise<void>} CheckPart */

/** @type {CheckPart} */
export const types = async (root, tally) => tally.whole('types', await node(root, [binOf('typescript', 'bin/tsc'), '-p', 'tsconfig.json']));

/** @type {CheckPart} */
export const style = async (root, tally) => tally.whole('style', await node(root, [binOf('oxlint', 'bin/oxlint'), '--deny-warnings']));

/** @type {CheckPart} */
export const interfaces = async (root, tally) => tally.whole('public interfaces (api.txt)', await node(root, ['tools/api.mjs']));

/** @type {CheckPart} */
export const documentation = (root, tally) => counted('examples of the documentation', 'readme-test.mjs', root, tally);

/** Built, and then as a stranger gets them. @type {CheckPart} */
export async function packages(root, tally) {
  const build = await child('npx', [...PNPM, 'exec', 'turbo', 'run', 'build', 'package:check', '--concurrency=2', '--output-logs=errors-only', '--continue'], { cwd: root, env: { ...process.env, ...QUIET } });
  tally.whole('builds, publint, attw', build);
  if (!build.ok) return tally.skip('packed packages in a project of their own', 'the build failed');
  for (const p of readdirSync(join(root, 'packages'))) {
    const problems = undeclaredImports(join(root, 'packages', p));
    tally.whole(`built files of ${p} import only what package.json declares`, { ok: problems.length === 0, output: problems.join('\n'), status: `${problems.length} problems`, seconds: 0 });
  }
  await counted('packed packages in a project of their own', 'consumer-test.mjs', root, tally);
}

/** A script whose last line is `N passed, N failed`. */
async function counted(part, script, root, tally) {
  const run = await node(root, [`tools/${script}`], { minutes: 25 });
  const counts = /(\d+) passed, (\d+) failed\s*$/.exec(run.output.trimEnd());
  console.log(run.ok ? run.output.split('\n').filter((l) => /^[✓✗-] /.test(l)).join('\n') : tail(run.output, 120));
  if (!counts || (!run.ok && counts[2] === '0')) tally.whole(part, { ...run, ok: false });
  else tally.add(part, { passed: Number(counts[1]), failed: Number(counts[2]), seconds: run.seconds });
}
