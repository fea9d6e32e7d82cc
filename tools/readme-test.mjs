// Runs every example of the documentation: ```ts blocks as programs of their own, ```sh blocks from the repository's root.
// Marks after the language: `no-run` leaves a block out, `continue` puts the block before it in front.
// Usage: node tools/readme-test.mjs [filter]      The last line is `N passed, N failed`.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { child } from './lib/child.mjs';
import { codeBlocks, programs, shellScripts } from './lib/readme.mjs';
import { tail } from './lib/tally.mjs';
import { withWebgpu } from './lib/webgpu-environment.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const filter = process.argv[2] ?? '';
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const env = { ...withWebgpu(), TSX_TSCONFIG_PATH: join(root, 'tsconfig.json'), TF_CPP_MIN_LOG_LEVEL: '2', NO_COLOR: '1' };
delete env.CI;

const markdown = (folder) => (existsSync(folder) ? readdirSync(folder, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? markdown(join(folder, e.name)) : e.name.endsWith('.md') ? [join(folder, e.name)] : [])) : []);
const readmes = (group) => readdirSync(join(root, group)).map((p) => join(root, group, p, 'README.md')).filter(existsSync);
const files = [...['README.md', 'CONTRIBUTING.md', 'FEATURES.md'].map((f) => join(root, f)).filter(existsSync), ...readmes('packages'), ...readmes('examples'), ...markdown(join(root, 'docs'))];

let passed = 0;
let failed = 0;
const scratch = join(root, 'tmp');
mkdirSync(scratch, { recursive: true });
for (const file of files.filter((f) => f.includes(filter))) {
  const blocks = codeBlocks(readFileSync(file, 'utf8'));
  for (const b of programs(blocks)) {
    // Inside the workspace, so that packages resolve; a folder of its own, so that what it writes goes away.
    const folder = mkdtempSync(join(scratch, 'readme-'));
    writeFileSync(join(folder, 'example.mts'), b.code);
    report(file, b, await child(process.execPath, ['--import', tsx, 'example.mts'], { cwd: folder, env, minutes: 5 }));
    rmSync(folder, { recursive: true, force: true });
  }
  for (const b of shellScripts(blocks)) report(file, b, await child('bash', ['-e', '-o', 'pipefail', '-c', b.code], { cwd: root, env: { ...env, INIT_CWD: root }, minutes: 10 }));
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;

function report(file, block, run) {
  const where = `${relative(root, file)}:${block.line}`;
  if (run.ok) passed++;
  else {
    failed++;
    console.log(tail(run.output, 30));
  }
  console.log(`${run.ok ? '✓' : '✗'} ${where} (${block.language}, ${run.seconds.toFixed(1)} s${run.ok ? '' : `, ${run.status}`})`);
}
