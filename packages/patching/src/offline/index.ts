/** Patching files ahead of training, and reading what came of it. Node only. */
export { patchFiles, type OfflinePatcher, type PatchFilesOptions, type PatchProgress, type PatchSummary } from './patch-files.js';
export { type EntropyDtype, type ShardHeader, type ShardSettings } from './shard-format.js';
export { openPatches, PatchedCorpus, type OpenPatchesOptions, type PatchedDocument } from './open-patches.js';
export { packPatchRows, type PackRowsOptions, type PatchRow } from './pack-rows.js';
