import { Option, type Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import type { EntropyModel } from '@bytelm/latent-transformer';
import { real, whole } from '@bytelm/example-shared/cli';
import { findEntropyModel, loadEntropyModel, type BLTSource } from './checkpoint/index.js';
import type { PatchingConfig, PatchingMode } from './config/index.js';

/** Names on the command line; the configuration calls equal lengths 'static'. */
export type PatcherName = 'entropy' | 'space' | 'strided' | 'byte';

/** Options that decide how text is cut. */
export interface PatcherChoice {
  patcher?: PatcherName;
  entropyModel?: string;
  threshold?: number;
  addThreshold?: number;
  monotonic?: boolean;
  maxPatch?: number;
  patchSize?: number;
}

const MODES: Record<PatcherName, PatchingMode> = { entropy: 'entropy', space: 'space', strided: 'static', byte: 'byte' };

/** `--patcher` and what belongs to it: BLT-Entropy and BLT-Space are one option apart. */
export function withPatcherOptions(command: Command): Command {
  return command
    .addOption(new Option('--patcher <name>', 'how text is cut (default: as the model has it)').choices(Object.keys(MODES)))
    .option('--entropy-model <name>', 'folder, file, preset or Hugging Face id of the entropy model (default: the one that belongs to the model)')
    .option('--threshold <nats>', 'entropy: a byte whose successor is less certain ends its patch', real(-100))
    .option('--add-threshold <nats>', 'entropy: and whose entropy rose by more than this', real(-100))
    .option('--monotonic', 'entropy: compare the rise of the entropy with the threshold, not its value')
    .option('--max-patch <bytes>', 'longer patches are cut', whole())
    .option('--patch-size <bytes>', 'strided: bytes of a patch', whole());
}

/** The patching of a configuration with what was chosen in its place. */
export function chosenPatching(patching: PatchingConfig, choice: PatcherChoice): PatchingConfig {
  const { patcher, threshold, addThreshold, monotonic, maxPatch, patchSize } = choice;
  const mode = patcher === undefined ? patching.mode : MODES[patcher];
  const foreign = mode === 'entropy' ? patchSize !== undefined && 'patch-size' : threshold !== undefined ? 'threshold' : addThreshold !== undefined ? 'add-threshold' : monotonic && 'monotonic';
  if (foreign) throw new ConfigError(`[patcher] --${foreign} does not belong to patches by ${mode === 'static' ? 'stride' : mode}. Hint: --patcher ${mode === 'entropy' ? 'strided' : 'entropy'}.`);
  return {
    ...patching,
    mode,
    ...(threshold !== undefined && { threshold }),
    ...(addThreshold !== undefined && { addThreshold }),
    ...(monotonic && { monotonic, addThreshold: null }),
    ...(maxPatch !== undefined && { maxPatchLength: maxPatch }),
    ...(mode === 'static' && { patchSize: patchSize ?? Math.round(patching.patchSize) }),
  };
}

/** The source with another way to cut, and the entropy model where one was named. The backend has started. */
export async function withChosenPatcher(source: BLTSource, choice: PatcherChoice): Promise<{ source: BLTSource; entropyModel: EntropyModel | undefined }> {
  const patching = chosenPatching(source.config.patching, choice);
  if (choice.entropyModel === undefined) return { source: { ...source, config: { ...source.config, patching } }, entropyModel: undefined };
  if (patching.mode !== 'entropy') throw new ConfigError(`[patcher] --entropy-model ${choice.entropyModel}: the model cuts by ${patching.mode}. Hint: add --patcher entropy.`);
  const found = await findEntropyModel(choice.entropyModel);
  if (!found.weights) throw new ConfigError(`[patcher] --entropy-model ${choice.entropyModel}: expected one with weights, this preset has none. Hint: train-entropy makes one.`);
  return { source: { ...source, config: { ...source.config, patching, entropyModel: found.config } }, entropyModel: await loadEntropyModel(found) };
}

