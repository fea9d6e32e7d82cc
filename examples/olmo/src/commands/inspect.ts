import type { Command } from 'commander';
import { compact, startBackend, withSharedOptions, type SharedOptions } from '@bytelm/example-shared/cli';
import { checkCheckpoint, compareTensors, type CheckpointReport } from '@bytelm/example-shared/model';
import type { SourceConfig } from '../config.js';
import { parameterShapes } from '../model.js';
import { loadSourceLM, loadTokenizer, openSource } from '../source.js';

interface InspectOptions extends SharedOptions {
  load?: boolean;
  json?: boolean;
}

interface SourceReport {
  model: string;
  config: SourceConfig;
  parameters: number;
  checkpoint: CheckpointReport;
  tokenizer: { file: string; tokens: number; spelling: string; end: string | null } | { problem: string };
}

/** `olmo inspect` */
export function addInspectCommand(program: Command): void {
  const command = program
    .command('inspect')
    .description('configuration, tensors and tokenizer of a source model')
    .argument('<model>', 'a folder, a weight file or a Hugging Face id')
    .option('--load', 'start the backend, read all values and check that they are finite')
    .option('--json', 'print everything as JSON');
  withSharedOptions(command, 'wasm').action(run);
}

async function run(model: string, options: InspectOptions): Promise<void> {
  const source = await openSource(model);
  const { config, files } = source;
  const shapes = parameterShapes(config);
  const isStored = (name: string) => name.endsWith('rotary_emb.inv_freq') || (config.isTied && name === 'lm_head.weight');
  const checkpoint = compareTensors(files.tensors, shapes);
  checkpoint.unexpected = checkpoint.unexpected.filter((n) => !isStored(n));
  const tokenizer = await loadTokenizer(source).then(
    ({ vocabulary: v }) => ({ file: v.name, tokens: v.size, spelling: v.spelling, end: v.endId === undefined ? null : (v.contentOf(v.endId) ?? null) }),
    (e: Error) => ({ problem: e.message }),
  );
  const parameters = [...shapes.values()].reduce((n, s) => n + s.reduce((a, b) => a * b, 1), 0);
  const report: SourceReport = { model, config, parameters, checkpoint, tokenizer };
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 1)}\n` : `${reportText(report)}\n`);
  const problem = checkCheckpoint(checkpoint);
  if (problem || !options.load) await files.close();
  if (problem) throw problem;
  if (!options.load) return;
  await startBackend(options.backend);
  (await loadSourceLM(source)).dispose();
  process.stderr.write('all values were read and are finite\n');
}

function reportText({ model, config: c, parameters, checkpoint, tokenizer }: SourceReport): string {
  const windows = [...new Set(c.windows)].map((w) => (w < 0 ? 'all positions' : `${w + 1} positions`)).join(' or ');
  const scaled = c.rotaryScaling.find((s) => s !== null);
  const lines = [
    `${model}: ${c.architecture}, ${compact(parameters)} parameters`,
    `  layers      ${c.numLayers} of width ${c.dModel}, ${c.numHeads} heads of ${c.headDim} (${c.numKvHeads} for keys and values), MLP ${c.dIntermediate}`,
    `  attention   over ${windows}; rotary theta ${c.theta}${scaled ? `, ${scaled.type} scaling by ${scaled.factor} in ${c.rotaryScaling.filter(Boolean).length} layers` : ''}`,
    `  vocabulary  ${c.vocabSize} rows${c.isTied ? ', head tied to the embedding' : ''}`,
    'problem' in tokenizer
      ? `  tokenizer   ${tokenizer.problem}`
      : `  tokenizer   ${tokenizer.tokens} tokens (${tokenizer.spelling}), text ends with ${tokenizer.end ?? 'no token of its own'}`,
    `  weights     ${checkpoint.tensors} tensors, ${Object.entries(checkpoint.dtypes).map(([d, n]) => `${n} ${d}`).join(', ')}`,
  ];
  if (c.unknownKeys.length) lines.push(`  unknown     keys of config.json that mean nothing here: ${c.unknownKeys.join(', ')}`);
  return lines.join('\n');
}
