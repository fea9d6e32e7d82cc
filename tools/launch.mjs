// Starts a Node program with the Vulkan driver that tools/setup-vulkan.mjs chose, which only counts when set before the start.
// Usage: node tools/launch.mjs [node options] program.mjs [arguments ...]
import { spawn } from 'node:child_process';
import { withWebgpu } from './lib/webgpu-environment.mjs';

const child = spawn(process.execPath, process.argv.slice(2), { stdio: 'inherit', env: withWebgpu() });
// Ctrl-C reaches the child by itself; this process only has to outlive it and pass its end on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
child.on('error', (e) => {
  console.error(`[launch] ${e.message}`);
  process.exitCode = 1;
});
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + (signal === 'SIGINT' ? 2 : signal === 'SIGTERM' ? 15 : 1);
});
