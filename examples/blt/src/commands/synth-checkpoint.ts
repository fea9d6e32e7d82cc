import { Option, type Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { count, whole } from '@bytelm/example-shared/cli';
import type { ConfigFormat } from '../config/index.js';
import { BLT_PRESETS } from '../presets.js';
import { synthCheckpoint } from '../synth-checkpoint.js';

interface SynthCommandOptions {
  preset: string;
  out: string;
  format: ConfigFormat;
  shardBytes: number;
  seed: number;
}

const EXAMPLES = `
Examples:
  blt synth-checkpoint --preset blt-1b --out /tmp/synth-1b
  blt generate --model /tmp/synth-1b --hash-tables file --max-bytes 16

Random weights in the published layout: to measure memory and speed without the weights.`;

/** `blt synth-checkpoint` */
export function addSynthCheckpointCommand(program: Command): void {
  program
    .command('synth-checkpoint')
    .description('write a checkpoint of a published configuration with random bf16 weights, in shards')
    .addHelpText('after', EXAMPLES)
    .option('--preset <name>', `configuration: ${Object.keys(BLT_PRESETS).join(', ')}`, 'blt-1b')
    .requiredOption('--out <folder>', 'where the files go')
    .addOption(new Option('--format <layout>', 'original or transformers').choices(['original', 'transformers']).default('original'))
    .option('--shard-bytes <number>', 'bytes of a file at most', whole(1), 4e9)
    .option('--seed <number>', 'seed of the weights', whole(0), 0)
    .action(run);
}

async function run({ preset, out, format, shardBytes, seed }: SynthCommandOptions): Promise<void> {
  const found = Object.hasOwn(BLT_PRESETS, preset) ? BLT_PRESETS[preset] : undefined;
  if (!found) throw new ConfigError(`[synth-checkpoint] --preset ${preset}: expected one of ${Object.keys(BLT_PRESETS).join(', ')}.`);
  const { parameters, bytes } = await synthCheckpoint(out, found.config, {
    format,
    seed,
    maxShardBytes: shardBytes,
    onProgress: (done, total, file) => process.stderr.write(`${file}: ${done} of ${total}\n`),
  });
  process.stdout.write(`${out}: ${count(parameters)} parameters, ${count(bytes / 1e6)} MB\n`);
}
