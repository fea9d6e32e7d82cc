// The static part of the test command: types, style, the packages as they would be published, the documentation's examples.
import { createRequire } from 'node:module';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { child } from './child.mjs';
import { undeclaredImports } from './dist-imports.mjs';

const require = createRequire(import.meta.url);
const binOf = (name, file) => join(dirname(require.resolve(`${name}/package.json`)), file);
/** pnpm by the name that is always there; publint and turbo call it too, so it must be on their PATH. */
const PNPM = ['-y', `pnpm@${JSON.parse(readFileSync(join(dirname(require.resolve('../../package.json')), 'package.json'), 'utf8')).packageManager.split('@')[1]}`];
const QUIET = { TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', NO_COLOR: '1', FORCE_COLOR: '0' };

/** @param {string} root @param {import('./tally.mjs').Tally} tally */
export async function checks(root, tally) {
  const node = (args, options = {}) => child(process.execPath, args, { cwd: root, ...options });
  tally.whole('types', await node([binOf('typescript', 'bin/tsc'), '-p', 'tsconfig.json']));
  tally.whole('style', await node([binOf('oxlint', 'bin/oxlint'), '--deny-warnings']));
  tally.whole('public interfaces (api.txt)', await node([join(root, 'tools', 'api.mjs')]));

  const env = { ...process.env, ...QUIET };
  const build = await child('npx', [...PNPM, 'exec', 'turbo', 'run', 'build', 'package:check', '--output-logs=errors-only', '--continue'], { cwd: root, env });
  tally.whole('builds, publint, attw', build);
  if (!build.ok) return tally.skip('packages and documentation', 'the build failed');
  for (const p of readdirSync(join(root, 'packages'))) {
    const problems = undeclaredImports(join(root, 'packages', p));
    tally.whole(`built files of ${p} import only what package.json declares`, { ok: problems.length === 0, output: problems.join('\n'), status: `${problems.length} problems`, seconds: 0 });
  }
  for (const [part, script] of [['examples of the documentation', 'readme-test.mjs'], ['packed packages in a project of their own', 'consumer-test.mjs']]) {
    const run = await node([join(root, 'tools', script)], { show: (l) => /^[✓✗-] /.test(l), minutes: 25 });
    const counts = /(\d+) passed, (\d+) failed\s*$/.exec(run.output.trimEnd());
    if (!counts || (!run.ok && counts[2] === '0')) tally.whole(part, { ...run, ok: false });
    else tally.add(part, { passed: Number(counts[1]), failed: Number(counts[2]), seconds: run.seconds });
    if (!run.ok) console.log(run.output.split('\n').filter((l) => !/^[✓✗-] /.test(l)).slice(-80).join('\n'));
  }
}
