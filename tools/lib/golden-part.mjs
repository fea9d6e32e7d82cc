// `pnpm fixtures` on one backend as a part of the test command.
import { child } from './child.mjs';
import { tail } from './tally.mjs';

/** @param {string} root @param {string} backend @param {import('./tally.mjs').Tally} tally */
export async function goldenCases(root, backend, tally) {
  const args = ['tools/launch.mjs', 'tools/fixtures/main.ts', '--backend', backend, '--json'];
  const run = await child(process.execPath, args, { cwd: root, minutes: 30, env: { ...process.env, GALLIVM_PERF: 'nopt' } });
  const part = `golden cases on ${backend}`;
  try {
    const { passed, failed, results, backends: [{ device, skipped }] } = JSON.parse(run.output.slice(run.output.indexOf('{')));
    for (const r of results.filter((r) => !r.ok)) console.log(`  ✗ ${backend} ${r.case}: ${r.error ?? r.tensors.filter((t) => !t.ok).map((t) => `${t.tensor} error ${t.error}`).join(', ')}`);
    tally.add(part, { passed, failed, seconds: run.seconds, note: skipped ?? device });
  } catch (e) {
    console.log(tail(run.output, 60));
    tally.add(part, { passed: 0, failed: 1, seconds: run.seconds, note: `no report: ${run.status}, ${e.message}` });
  }
}
