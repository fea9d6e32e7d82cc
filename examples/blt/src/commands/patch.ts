import { Option, type Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { openByteFiles } from '@bytelm/core/train';
import { count, createProgress, duration, rate, real, startBackend, stopSignal, whole, withSharedOptions, type SharedOptions } from '@bytelm/example-shared/cli';
import type { EntropyModel } from '@bytelm/latent-transformer';
import { BpePatcher, EntropyPatcher, openSubwordTokenizer } from '@bytelm/patching';
import { patchFiles, type OfflinePatcher } from '@bytelm/patching/offline';
import { findBLT, findEntropyModel, loadEntropyModel, type BLTSource } from '../checkpoint/index.js';
import { TINY_MODEL } from '../family.js';
import { chosenPatching, withPatcherOptions, type PatcherChoice } from '../patcher-options.js';
import { createPatcher } from '../patcher.js';
import { calibrateOnText } from '../train/calibrate-on.js';

interface PatchOptions extends SharedOptions, PatcherChoice {
  model?: string;
  tokenizer?: string;
  data: string[];
  out?: string;
  bytesPerPatch?: number;
  calibrateOnly?: boolean;
  entropies: 'float32' | 'float16' | 'none';
  separator?: string;
  shardBytes: number;
  batch: number;
  overwrite?: boolean;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  blt patch --data books/ --bytes-per-patch 4.5 --calibrate-only
  blt patch --data books/ --separator "\\n\\n\\n" --threshold 1.34
  blt patch --data books/ --patcher space --out patches
  blt patch --data books/ --tokenizer tokenizer.json --out bpe-patches

Patches are kept in shards beside each file (FILE.patches/) or in --out; run again after a crash it makes what is missing. Memory does not grow with the
files. \`train --packing documents --prepared\` reads them, with another threshold, too: entropies are kept.`;

/** `blt patch` */
export function addPatchCommand(program: Command): void {
  const command = program.command('patch').description('cut files into patches ahead of training, or find the threshold for a mean patch length').addHelpText('after', EXAMPLES);
  command.requiredOption('--data <path...>', 'files and folders').option('--model <name>', 'whose way to cut, and entropy model (default: the small model that comes with this example)');
  withPatcherOptions(command)
    .option('--tokenizer <file>', "patches are the pieces of this tokenizer.json (Hugging Face's)")
    .option('--bytes-per-patch <number>', 'entropy: set the threshold to this mean length on the data', real(1))
    .option('--calibrate-only', 'print that threshold and write nothing')
    .option('--out <folder>', 'where the patches go (default: beside the files)')
    .addOption(new Option('--entropies <dtype>', 'how entropies are kept').choices(['float32', 'float16', 'none']).default('float32'))
    .option('--separator <text>', 'ends a document; \\n is a newline (default: a file is one document)')
    .option('--shard-bytes <number>', 'bytes of a shard, and of a document at most', whole(), 1 << 19)
    .option('--batch <shards>', 'shards worked on side by side', whole(), 8)
    .option('--overwrite', 'replace patches that were made with other settings')
    .option('--json', 'print the result as JSON');
  withSharedOptions(command, 'auto').action(run);
}

async function run(options: PatchOptions): Promise<void> {
  if (options.tokenizer !== undefined && options.patcher !== undefined) throw new ConfigError('[patch] --tokenizer and --patcher: expected one of them, got both.');
  if (options.calibrateOnly && options.bytesPerPatch === undefined) throw new ConfigError('[patch] --calibrate-only: expected --bytes-per-patch as well, the length to calibrate to.');
  // Other rules need no model.
  const byEntropy = options.tokenizer === undefined && (options.patcher ?? 'entropy') === 'entropy';
  const source = await findBLT(options.model ?? (byEntropy && options.entropyModel === undefined ? TINY_MODEL : 'blt-tiny'));
  await startBackend(options.backend);
  const { patcher, note } = await patcherOf(source, options);
  try {
    if (note && options.calibrateOnly) process.stdout.write(options.json ? `${JSON.stringify(note)}\n` : `threshold ${note.threshold} nats: ${note.bytesPerPatch.toFixed(3)} bytes per patch\n`);
    if (options.calibrateOnly) return;
    if (note) process.stderr.write(`threshold ${note.threshold} nats: ${note.bytesPerPatch.toFixed(2)} bytes per patch\n`);
    await patch(patcher, options);
  } finally {
    if (patcher instanceof EntropyPatcher) patcher.model.dispose();
  }
}

interface Note {
  threshold: number;
  bytesPerPatch: number;
}

async function patcherOf(source: BLTSource, options: PatchOptions): Promise<{ patcher: OfflinePatcher; note?: Note }> {
  const { config } = source;
  if (options.tokenizer !== undefined) return { patcher: new BpePatcher({ tokenizer: await openSubwordTokenizer(options.tokenizer), maxChunkLength: options.maxPatch, documentEnds: [config.eosId] }) };
  const patching = chosenPatching(config.patching, options);
  if (patching.mode !== 'entropy') {
    if (options.bytesPerPatch !== undefined) throw new ConfigError(`[patch] --bytes-per-patch sets a threshold, patches by ${options.patcher} have none. Hint: --patch-size is the length of strided patches.`);
    return { patcher: createPatcher({ ...config, patching }) as OfflinePatcher };
  }
  const model = await entropyModelOf(source, options.entropyModel);
  let note: Note | undefined;
  if (options.bytesPerPatch !== undefined) {
    const found = await calibrateOnText(model, patching, await openByteFiles(options.data), options.shardBytes < 16384 ? options.shardBytes : 16384, options.bytesPerPatch);
    patching.threshold = found.threshold;
    note = { threshold: found.threshold, bytesPerPatch: found.bytesPerChunk };
  }
  return { patcher: createPatcher({ ...config, patching }, { entropyModel: model }) as OfflinePatcher, ...(note && { note }) };
}

/** The entropy model that was named, or the one of the BLT. */
async function entropyModelOf({ config, name, entropyWeights, weights, parsed }: BLTSource, named: string | undefined): Promise<EntropyModel> {
  if (named !== undefined) return loadEntropyModel(await findEntropyModel(named));
  if (!config.entropyModel) throw new ConfigError(`[patch] ${name} has no entropy model. Hint: --entropy-model DIR.`);
  return loadEntropyModel({ name, config: config.entropyModel, weights: entropyWeights ?? weights, parsed: { ...parsed, config: config.entropyModel } });
}

async function patch(patcher: OfflinePatcher, options: PatchOptions): Promise<void> {
  const { data, out, entropies, shardBytes, batch, overwrite } = options;
  const separator = options.separator?.replace(/\\n/g, '\n').replace(/\\t/g, '\t');
  const { signal, release } = stopSignal(() => process.stderr.write('\nstopping; what is finished stays. Press Ctrl-C again to stop at once\n'));
  let progress: ReturnType<typeof createProgress> | undefined;
  try {
    const summary = await patchFiles({
      patcher,
      files: data,
      out,
      entropies: entropies === 'none' ? null : entropies,
      separator,
      shardBytes,
      batch,
      overwrite,
      signal,
      onProgress: (p) => {
        progress ??= createProgress({ total: p.totalBytes, start: p.bytes, unit: 'byte' });
        progress.update(p.bytes, `${rate(p.bytesPerSecond)} bytes/s`);
      },
    });
    progress?.stop();
    const { bytes, bytesPerSecond, bytesPerChunk, shards, kept, seconds, folders } = summary;
    if (options.json) process.stdout.write(`${JSON.stringify({ bytes, bytesPerPatch: bytesPerChunk, shards, kept, seconds, folders })}\n`);
    else {
      const reused = kept ? `, ${kept} of them made before` : '';
      process.stdout.write(`${count(bytes)} bytes in ${shards} shards${reused}: ${bytesPerChunk.toFixed(3)} bytes per patch, ${rate(bytesPerSecond)} bytes/s, ${duration(seconds)}\n${folders.join('\n')}\n`);
    }
  } catch (e) {
    // Asked for: what is there is whole, and the next run goes on.
    if (!signal.aborted) throw e;
    process.stderr.write('stopped; the same command goes on from here\n');
  } finally {
    progress?.stop();
    release();
  }
}
