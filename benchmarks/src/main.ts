// Benchmarks: whole models beside PyTorch, growth with context and length, single ops.
import { Command, Option } from 'commander';
import { BACKEND_NAMES, BytelmError, ConfigError, type BackendName } from '@bytelm/core';
import { HNET_PRESETS } from '@bytelm/example-hnet';
import { byteifiedRows, byteifiedTable, type ByteifiedRow } from './byteified-table.js';
import { contextRows, growthPlot, growthTable, memoryRows } from './growth-plots.js';
import { gpuDecodeRows, gpuDecodeTable } from './gpu-decode.js';
import { gpuRows, gpuTable, type GpuRow } from './gpu-kernels.js';
import { machine } from './machine.js';
import { opsTable, type OpRow } from './ops/table.js';
import { findPeers, WORKS, type Work } from './peers.js';
import { runJob } from './processes.js';
import { lastResult, regressions } from './regressions.js';
import { RESULTS, saveResult } from './save.js';
import { sideBySide } from './side-by-side.js';
import { machineLine, sideBySideTable, type ResultFile } from './tables.js';
import { SIZES } from './work/byteified.js';

const GROUPS: Record<string, readonly string[]> = { models: ['demo', 'hnet-1stage-8M', 'mambabyte-8M', 'llamabyte-8M'], blt: ['blt-10M', 'blt-40M'], bolmo: ['bolmo-10M'] };
const CONFIGS = Object.values(GROUPS).flat();

interface Options {
  backend: BackendName[];
  work: Work[];
  seconds: number;
  rounds: number;
  threads: number;
  compile: 'auto' | 'on' | 'off';
  peers?: string;
  python?: string;
  only?: string;
  preset?: string[];
  out: string;
  json?: boolean;
  bf16?: boolean;
  stepped?: boolean;
  size?: string[];
  check?: boolean;
}

const many = <T extends string>(choices: readonly T[]) => (value: string, before: T[] | undefined): T[] => {
  if (!(choices as readonly string[]).includes(value)) throw new ConfigError(`[bench] ${value}: expected one of ${choices.join(', ')}.`);
  return [...(before ?? []), value as T];
};
const positive = (value: string): number => {
  const n = Number(value);
  if (!(n > 0)) throw new ConfigError(`[bench] ${value}: expected a positive number.`);
  return n;
};

const program = new Command('bench')
  .description('time bytelm: whole models beside PyTorch on the same weights, growth with context and length, single ops')
  .argument('<name>', `${CONFIGS.join(', ')}, or ${Object.entries(GROUPS).map(([group, all]) => `${group} (${all.join(', ')})`).join(', ')}; byteified, context, memory, ops, gpu`)
  .option('--backend <name>', `repeatable, ${BACKEND_NAMES.join(', ')} (default: wasm and tensorflow; ops: wasm)`, many(BACKEND_NAMES))
  .option('--work <name>', `repeatable, ${WORKS.join(', ')} (default: all)`, many(WORKS))
  .option('--seconds <number>', 'length of one measurement', positive, 8)
  .option('--rounds <number>', 'how often the sides take turns', positive, 2)
  .option('--threads <number>', 'of PyTorch and TensorFlow', positive, 2)
  .addOption(new Option('--compile <mode>', 'torch.compile on the other side; auto tries both and keeps the faster').choices(['auto', 'on', 'off']).default('auto'))
  .option('--peers <dir>', 'folder with the PyTorch models and their bench.py (or BYTELM_PEERS)')
  .option('--python <path>', 'Python with torch, transformers, safetensors, numpy (or BYTELM_PYTHON; default: python3)')
  .option('--bf16', 'decode once more with matrices kept in bf16 (wasm), a line of its own')
  .option('--stepped', 'decode once more without recording the step (webgpu), a line of its own')
  .option('--size <name>', `byteified: repeatable, size of the source model's body, ${Object.keys(SIZES).join(', ')} (default: 6M, 85M)`, many(Object.keys(SIZES)))
  .option('--preset <name>', 'context, memory: repeatable, which models', many(Object.keys(HNET_PRESETS)))
  .option('--only <text>', 'ops whose name contains this')
  .option('--out <dir>', 'where results are written', RESULTS)
  .option('--check', 'fail when a model is more than 20 % slower than in the last stored result of this machine')
  .option('--json', 'print the result file')
  .action(run);

async function run(name: string, options: Options): Promise<void> {
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  const date = new Date().toISOString();
  const base = { name, date, machine: machine(), threads: options.threads };
  const finish = (file: object, markdown: string, extra: Record<string, string> = {}) => {
    const json = JSON.stringify(file, null, 1);
    const paths = saveResult(options.out, name, date, { json: `${json}\n`, md: markdown, ...extra });
    console.log(options.json ? json : markdown);
    say(`written: ${paths.join(', ')}`);
  };
  if (name === 'ops') {
    const backend = options.backend?.[0] ?? 'wasm';
    const out = await runJob<OpRow[]>({ kind: 'ops', backend, seconds: options.seconds, only: options.only }, options.threads);
    const file: ResultFile<OpRow> = { ...base, rows: out.result };
    finish({ ...file, backend, device: out.device }, `# ops on ${backend}\n\n${machineLine(file)} ${out.device}.\n\n${opsTable(out.result)}\n`);
    if (out.result.some((r) => r.problem)) process.exitCode = 1;
    return;
  }
  if (name === 'gpu') {
    const { device, isSoftware, rows } = await gpuRows({ budget: options.seconds * 5, only: options.only, say });
    const models = isSoftware ? ['demo'] : ['demo', 'hnet-1stage-8M', 'mambabyte-8M', 'llamabyte-8M'];
    const decode = await gpuDecodeRows(options.only ? models.filter((m) => `decode ${m}`.includes(options.only!)) : models, say);
    const file: ResultFile<GpuRow> = { ...base, rows };
    return finish({ ...file, device, decode }, `# GPU kernels\n\n${machineLine(file)} ${device}.\n\n${gpuTable(rows)}\n\n${gpuDecodeTable(decode)}\n`);
  }
  if (name === 'byteified') {
    const sizes = options.size ?? ['6M', '85M'];
    const rows = await byteifiedRows({ sizes, backends: options.backend ?? ['wasm'], seconds: options.seconds, rounds: options.rounds, threads: options.threads, say });
    const file: ResultFile<ByteifiedRow> = { ...base, rows };
    return finish(file, `# byteified: decoding speed against bytes per patch\n\n${machineLine(file)}\n\n${byteifiedTable(rows)}\n`);
  }
  if (name === 'context' || name === 'memory') return growth(name, options, base, finish, say);
  const configs = GROUPS[name] ?? [name];
  if (!configs.every((c) => CONFIGS.includes(c))) throw new ConfigError(`[bench] ${name}: expected ${[...CONFIGS, ...Object.keys(GROUPS)].join(', ')}, byteified, context, memory, ops or gpu.`);
  const peers = findPeers(options);
  const { rounds, seconds } = options;
  const { rows, torch } = await sideBySide({ configs, works: options.work ?? WORKS, backends: options.backend ?? ['wasm', 'tensorflow'], rounds, seconds, peers, bf16: options.bf16, stepped: options.stepped, say });
  const file = { ...base, torch, rounds, seconds, rows };
  const before = options.check ? lastResult(options.out, name, file.machine) : undefined;
  finish(file, sideBySideTable(file));
  const slower = before ? regressions(before.rows, rows) : [];
  for (const line of slower) say(`slower than on ${before!.date.slice(0, 10)}: ${line}`);
  if (slower.length || rows.some((r) => r.disagreement)) process.exitCode = 1;
}

async function growth(
  name: 'context' | 'memory',
  options: Options,
  base: Pick<ResultFile<unknown>, 'name' | 'date' | 'machine'>,
  finish: (file: object, markdown: string, extra?: Record<string, string>) => void,
  say: (line: string) => void,
): Promise<void> {
  const backends = options.backend ?? (name === 'context' ? ['wasm'] : ['wasm', 'tensorflow']);
  const common = { backends, threads: options.threads, say };
  const isContext = name === 'context';
  const presets = options.preset ?? (isContext ? ['mambabyte-8M', 'llamabyte-8M', 'demo'] : ['demo', 'mambabyte-8M']);
  const rows = await (isContext ? contextRows : memoryRows)({ ...common, presets });
  const title = isContext ? 'Cost of a decoded byte against context' : 'Memory of training against length';
  const svg = await growthPlot(rows, isContext ? { title, x: 'bytes seen', y: 'ms a byte' } : { title, x: 'bytes in the row', y: 'peak memory above start, MB' });
  const heading = `# ${title}\n\n${machineLine(base)} Initial weights, batch 1.\n\n![${title}](${base.date.slice(0, 10)}-${name}.svg)`;
  finish({ ...base, rows }, `${heading}\n\n${growthTable(rows, isContext ? 'ms' : 'MB', name)}\n`, { svg });
}

try {
  await program.parseAsync();
} catch (e) {
  console.error(BytelmError.is(e) ? e.message : e);
  process.exitCode = 2;
}
