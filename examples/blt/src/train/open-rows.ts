import { BYTE_VOCABULARIES, ConfigError, type Chunker } from '@bytelm/core';
import { openByteFiles } from '@bytelm/core/train';
import { openText, openWindows, type OpenBatches } from '@bytelm/example-shared/train';
import { EntropyPatcher } from '@bytelm/patching';
import { fileDocuments, TextPieces } from './documents.js';
import { patchedOnTheWay, preparedPatches, type PatchSource } from './patch-source.js';
import { PatchedDocuments, type WeightedSource } from './patched-documents.js';
import { PatchedWindows } from './patched-windows.js';
import type { BLTTrainSettings } from './settings.js';

/** The data of a run as its settings ask for it, patched on the way by `patcher`. @throws ConfigError, DataError */
export function openRows(settings: BLTTrainSettings, patcher: Chunker): Promise<OpenBatches> {
  return settings.packing === 'windows' ? windows(settings, patcher) : documents(settings, patcher);
}

async function windows(settings: BLTTrainSettings, patcher: Chunker): Promise<OpenBatches> {
  const open = await openWindows(settings, BYTE_VOCABULARIES.blt);
  return { ...open, batches: new PatchedWindows(open.batches, patcher) };
}

async function documents(settings: BLTTrainSettings, patcher: Chunker): Promise<OpenBatches> {
  const { data, weights, patches, batch, rowBytes, seed, buffer, prepared } = settings;
  if (weights && weights.length !== data.length) throw new ConfigError(`[train] --weights: expected ${data.length} (one for each of --data), got ${weights.length}.`);
  const whole = weights !== null || prepared !== null || settings.documents === 'files';
  if (whole && settings.range) throw new ConfigError('[train] --range: expected one text of pieces, got several sources, documents that are files, or prepared patches. Hint: leave --range out.');
  // Held-out text is a part of the only text, or apart from all sources.
  const { train, valid, ranges } = await openText(whole && !settings.validData ? { ...settings, evalEvery: 0 } : settings);
  const sources: WeightedSource[] = [];
  try {
    if (whole) await train.close();
    for (const [i, files] of (weights ? data.map((d) => [d]) : [data]).entries()) {
      const source = prepared !== null ? await openPrepared(files, prepared, patcher) : patchedOnTheWay(settings.documents === 'files' ? await fileDocuments(files) : new TextPieces(whole ? await openByteFiles(files) : train, settings.documentBytes), patcher);
      sources.push({ documents: source, ...(weights && { weight: weights[i]! }) });
    }
    const batches = new PatchedDocuments(sources, { patches, batch, maxBytes: rowBytes, seed, buffer });
    return { batches, valid, ranges, close: () => batches.close() };
  } catch (e) {
    await train.close();
    for (const { documents: source } of sources) await source.close();
    throw e;
  }
}

/** Patches that `blt patch` made. With an entropy model its rule is applied to the stored entropies: the threshold is the run's. */
function openPrepared(files: readonly string[], prepared: string, patcher: Chunker): Promise<PatchSource> {
  const rule = patcher instanceof EntropyPatcher ? { ...patcher.rule, maxChunkLength: patcher.maxChunkLength } : undefined;
  return preparedPatches(files, { ...(prepared !== '' && { out: prepared }), ...(rule && { rule }) });
}
