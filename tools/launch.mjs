// Starts a TypeScript or JavaScript program of this repository
//   in the folder where the user is (pnpm runs scripts in its own), so that relative paths mean what they look like;
//   with the Vulkan driver that tools/setup-vulkan.mjs chose, which only counts when set before the start.
// Usage: node tools/launch.mjs program [arguments ...]      The program's path is relative to the repository.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { withWebgpu } from './lib/webgpu-environment.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const [program, ...args] = process.argv.slice(2);

const child = spawn(process.execPath, ['--import', tsx, resolve(root, program), ...args], {
  stdio: 'inherit',
  cwd: process.env.INIT_CWD ?? process.cwd(),
  env: { ...withWebgpu(), TSX_TSCONFIG_PATH: resolve(root, 'tsconfig.json') },
});
// Ctrl-C reaches the child by itself; this process only has to outlive it and pass its end on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
child.on('error', (e) => {
  console.error(`[launch] ${e.message}`);
  process.exitCode = 1;
});
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + ({ SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 }[signal] ?? 1);
});
