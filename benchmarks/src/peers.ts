import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ConfigError } from '@bytelm/core';

export type Work = 'train' | 'prefill' | 'decode';
export const WORKS: readonly Work[] = ['train', 'prefill', 'decode'];

/** What the peer's `bench.py` reports; see its README. Rates in bytes/s, memory in MB. */
export interface PeerResult {
  config: string;
  work: Work;
  torch: string;
  threads: number;
  compile: string;
  parameters: number;
  bytes_per_s: number;
  bytes_per_s_decoding?: number;
  bytes_per_chunk: number[];
  mflop_per_byte: number;
  gflops_attained: number;
  matmul_gflops_before: number;
  matmul_gflops_after: number;
  peak_rss_mb: number;
  load_average: number;
  first_loss?: number;
  last_loss?: number;
  ms_per_step_median?: number;
  ms_per_step_p99?: number;
  ms_to_first_byte?: number;
  /** BLT: `shipped` is transformers' own model, generating without a cache. */
  impl: 'fast' | 'shipped' | 'peer';
}

export interface PeerOptions {
  /** Folder with `bench.py` and `configs.json`. */
  dir: string;
  python: string;
  threads: number;
  compile: 'auto' | 'on' | 'off';
}

/** @throws ConfigError that says where the PyTorch side comes from when it is not there. */
export function findPeers(options: { peers?: string | undefined; python?: string | undefined; threads: number; compile: PeerOptions['compile'] }): PeerOptions {
  const dir = options.peers ?? process.env.BYTELM_PEERS;
  if (!dir) throw new ConfigError('[bench] the PyTorch side is not part of this repository: expected --peers DIR or BYTELM_PEERS, got neither. Hint: name the folder that holds its bench.py; ops, context and memory need none.');
  for (const file of ['bench.py', 'configs.json']) {
    if (!existsSync(join(dir, file))) throw new ConfigError(`[bench] --peers ${dir}: expected a folder with bench.py and configs.json, but ${file} is not there.`);
  }
  return { dir: resolve(dir), python: options.python ?? process.env.BYTELM_PYTHON ?? 'python3', threads: options.threads, compile: options.compile };
}

/** The prose that the peers read, for the same windows on this side. */
export const peerProse = ({ dir }: PeerOptions): string => join(dir, '..', 'data', 'prose-en');

/** Writes the peer's (calibrated) weights and config to a folder. */
export async function saveWeights(peers: PeerOptions, config: string, folder: string): Promise<void> {
  await bench(peers, ['--config', config, '--save', folder]);
}

export async function runPeer(peers: PeerOptions, job: { config: string; work: Work; seconds: number; weights: string; impl?: 'shipped' }): Promise<PeerResult> {
  const { config, work, seconds, weights, impl } = job;
  return bench(peers, ['--config', config, '--work', work, '--seconds', String(seconds), '--weights', weights, '--compile', impl ? 'off' : peers.compile, ...(impl ? ['--impl', impl] : [])]) as Promise<PeerResult>;
}

/** GFLOP/s of a 1024³ float32 product in PyTorch, now: the yardstick for how fast the machine is at this moment. */
export async function machineMatmul({ dir, python, threads }: PeerOptions): Promise<number> {
  const program = `import sys; sys.path.insert(0, ${JSON.stringify(dir)}); import torch; torch.set_num_threads(${threads}); import bench; print(bench.matmul_gflops(torch))`;
  return Number((await run(python, ['-c', program], dir, threads)).trim());
}

async function bench(peers: PeerOptions, args: string[]): Promise<unknown> {
  const out = await run(peers.python, [join(peers.dir, 'bench.py'), ...args, '--threads', String(peers.threads), '--json'], peers.dir, peers.threads);
  return JSON.parse(out.trim().split('\n').at(-1)!);
}

function run(program: string, args: string[], cwd: string, threads: number): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads), PYTHONDONTWRITEBYTECODE: '1' } });
    let out = '';
    let problems = '';
    child.stdout.on('data', (d: Buffer) => (out += d.toString()));
    child.stderr.on('data', (d: Buffer) => (problems = (problems + d.toString()).slice(-2000)));
    child.on('error', (e) => fail(new ConfigError(`[bench] ${program} cannot be started (${e.message}). Hint: --python PATH of an environment with torch, transformers, safetensors and numpy.`)));
    child.on('exit', (code) => {
      if (code === 0) done(out);
      else fail(new ConfigError(`[bench] ${[program, ...args].slice(0, 6).join(' ')} … failed:\n${problems.trim().split('\n').slice(-4).join('\n')}\nHint: --python PATH of an environment with torch, transformers, safetensors and numpy.`));
    });
  });
}
