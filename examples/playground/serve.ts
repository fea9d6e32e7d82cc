import { spawn } from 'node:child_process';
import { Command } from 'commander';
import { build, preview } from 'vite';
import { viteConfig } from './build/vite-config.js';

interface Options {
  port: string;
  open: boolean;
  out?: string;
  buildOnly?: boolean;
}

const program = new Command('playground')
  .description('builds the page with the models that ship here, serves it and opens it in the browser')
  .option('--port <number>', 'where it is served', '4173')
  .option('--no-open', 'do not open a browser')
  .option('--out <folder>', 'where the built page goes: static files for any server (default: examples/playground/dist)')
  .option('--build-only', 'build and stop')
  .action(run);
await program.parseAsync();

async function run({ port, open, out, buildOnly }: Options): Promise<void> {
  process.stdout.write('building the page …\n');
  const config = viteConfig(out);
  await build(config);
  if (buildOnly) return void process.stdout.write(`built: ${config.build!.outDir}\n`);
  const server = await preview({ ...config, preview: { port: Number(port), host: '127.0.0.1' } });
  const [address] = server.resolvedUrls!.local;
  process.stdout.write(`${address}\nCtrl-C ends it.\n`);
  if (open) openBrowser(address!);
}

/** Where there is no desktop nothing opens, and the address has been printed. */
function openBrowser(address: string): void {
  const [command, ...args] = { darwin: ['open'], win32: ['cmd', '/c', 'start', ''] }[process.platform as string] ?? ['xdg-open'];
  spawn(command!, [...args, address], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref();
}
