import { RUN_DEFAULTS, type RunSettings } from '@bytelm/example-shared/train';
import type { DecayRule } from './parameter-groups.js';

/** Everything that decides what a run of the entropy model computes. */
export interface EntropyTrainSettings extends RunSettings {
  decayRule: DecayRule;
}

export const ENTROPY_DEFAULTS = { ...RUN_DEFAULTS, lr: 3e-3, warmup: 0.05, decayRule: 'matrices' } as const satisfies Partial<EntropyTrainSettings>;

/** Everything that decides what a run of a BLT computes, besides its configuration. */
export interface BLTTrainSettings extends RunSettings {
  decayRule: DecayRule;
  /** Multiplies the rate of the main network. */
  globalLr: number;
  /**
   * `windows`: rows of `length` bytes, each behind a BOS and patched on its own. `documents`: rows of `patches` patches with as many bytes as
   * those have, out of documents that are patched whole (section 4 of the paper).
   */
  packing: 'windows' | 'documents';
  /** Only `documents`: patches of a row, and its bytes at most. */
  patches: number;
  rowBytes: number;
  /** What a document is: a file, or a piece of the text of about so many bytes. */
  documents: 'pieces' | 'files';
  documentBytes: number;
  /** Folder of patches that `blt patch` made, '' for those beside the files; `null`: patches are made on the way. */
  prepared: string | null;
  /** Rows that are shuffled at a time. */
  buffer: number;
  /** How often rows come from each of `data`; `null`: all of it is one source. */
  weights: number[] | null;
}

export const BLT_DEFAULTS = {
  ...RUN_DEFAULTS,
  lr: 3e-3,
  warmup: 0.05,
  decayRule: 'matrices',
  globalLr: 1,
  packing: 'windows',
  patches: 128,
  rowBytes: 1024,
  documents: 'pieces',
  documentBytes: 16384,
  prepared: null,
  buffer: 64,
  weights: null,
} as const satisfies Partial<BLTTrainSettings>;
