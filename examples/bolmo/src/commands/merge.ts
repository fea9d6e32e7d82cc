import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { MergeReport } from '@bytelm/distill';
import { mergeFolders, type MergeFolders } from '../merge-folders.js';

const EXAMPLES = `
Examples:
  bolmo merge --model runs/bolmo --base runs/teacher --tuned runs/tuned --out runs/merged
  bolmo merge --model allenai/Bolmo-7B --base allenai/Olmo-3-1025-7B --tuned allenai/Olmo-3-7B-RL-Zero-IF --out merged

model + alpha (tuned - base), for every tensor that the byte model has in common with the model it was made of: layers and final norm.`;

/** `bolmo merge` */
export function addMergeCommand(program: Command): void {
  program
    .command('merge')
    .description('give a byteified model what its source model learned later, without training')
    .addHelpText('after', EXAMPLES)
    .requiredOption('--model <name>', 'the byteified model: a folder or a Hugging Face id')
    .requiredOption('--base <name>', 'the source model that it was made of')
    .requiredOption('--tuned <name>', 'the same source model after more training')
    .requiredOption('--out <folder>', 'where the merged model is written')
    .option('--alpha <number>', 'how much of the difference is added', number, 1)
    .option('--embeddings', 'add the difference of the embedding tables to the table of subwords as well')
    .option('--json', 'print the report as JSON')
    .action(run);
}

async function run({ json, ...options }: MergeFolders & { json?: boolean }): Promise<void> {
  const report = await mergeFolders(options);
  process.stdout.write(json ? `${JSON.stringify(report, null, 1)}\n` : `${reportText(report)}\n`);
  process.stderr.write(`merged into ${options.out}; try: generate --model ${options.out}\n`);
}

/** What changed, tensor by tensor. */
function reportText({ changed, skipped, untouched, unused }: MergeReport): string {
  const width = Math.max(...changed.map((c) => c.name.length));
  const list = (title: string, names: readonly string[]) => (names.length ? [`${title} (${names.length}): ${names.join(', ')}`] : []);
  return [
    `${'changed'.padEnd(width)}  rms of change  share of own`,
    ...changed.map((c) => `${c.name.padEnd(width)}  ${c.change.toExponential(3).padStart(13)}  ${`${(100 * c.relative).toFixed(3)} %`.padStart(12)}`),
    ...list('of another shape, left', skipped.map((s) => `${s.name} (${s.base.join(', ')}) vs (${s.student.join(', ')})`)),
    ...list('of the byte model alone', untouched),
    ...list('of the source model alone', unused),
  ].join('\n');
}

function number(text: string): number {
  const value = Number(text);
  if (!text.trim() || !Number.isFinite(value)) throw new InvalidArgumentError(`Expected a number, got '${text}'.`);
  return value;
}
