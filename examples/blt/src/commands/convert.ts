import { Option, type Command } from 'commander';
import type { HierarchicalLM } from '@bytelm/core';
import { startBackend, withSharedOptions } from '@bytelm/example-shared/cli';
import { withModelOptions } from '@bytelm/example-shared/model';
import { saveBLT } from '../checkpoint/index.js';
import type { ConfigFormat } from '../config/index.js';
import { BLT, type BLTModelOptions } from '../family.js';
import { chosenPatching } from '../patcher-options.js';

interface ConvertOptions extends BLTModelOptions {
  out: string;
  format: ConfigFormat;
  dtype: 'F32' | 'BF16';
}

const EXAMPLES = `
Examples:
  blt convert --model itazap/blt-1b-hf --out blt-1b --format original
  blt convert --model runs/blt --out small --dtype BF16
  blt convert --model runs/blt --patcher space --out spaced`;

/** `blt convert` */
export function addConvertCommand(program: Command): void {
  const command = program.command('convert').description('write a model in another published layout, number format, or with another way to cut').addHelpText('after', EXAMPLES);
  withModelOptions(command, BLT)
    .requiredOption('--out <folder>', 'where the files go')
    .addOption(new Option('--format <layout>', 'original: names of facebookresearch/blt, entropy model in a folder of its own; transformers: one set of files').choices(['original', 'transformers']).default('original'))
    .addOption(new Option('--dtype <format>', 'of the weights').choices(['F32', 'BF16']).default('F32'));
  withSharedOptions(command, 'cpu').action(run);
}

async function run(options: ConvertOptions): Promise<void> {
  const source = await BLT.find(options);
  await startBackend(options.backend);
  const model = (await BLT.load(source, { seed: options.seed })) as HierarchicalLM;
  try {
    const config = { ...source.config, patching: chosenPatching(source.config.patching, options) };
    await saveBLT(options.out, model, config, { format: options.format, source: source.parsed, dtype: options.dtype });
    process.stdout.write(`${options.out}: ${options.format} layout, ${options.dtype}\n`);
  } finally {
    model.dispose();
  }
}
