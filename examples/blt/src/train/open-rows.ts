import { BYTE_VOCABULARIES, ConfigError, type Chunker } from '@bytelm/core';
import { openByteFiles } from '@bytelm/core/train';
import { openText, openWindows, type OpenBatches } from '@bytelm/example-shared/train';
import { fileDocuments, TextPieces, type DocumentSource } from './documents.js';
import { PatchedDocuments } from './patched-documents.js';
import { PatchedWindows, patchWith } from './patched-windows.js';
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
  const { data, weights, patches, batch, rowBytes, seed, buffer } = settings;
  if (weights && weights.length !== data.length) throw new ConfigError(`[train] --weights: expected ${data.length} (one for each of --data), got ${weights.length}.`);
  if ((weights || settings.documents === 'files') && settings.range) throw new ConfigError('[train] --range: expected one text of pieces, got several sources or documents that are files. Hint: leave --range out.');
  // Also says where the held-out text is; several sources are then read on their own.
  const { train, valid, ranges } = await openText(weights && !settings.validData ? { ...settings, evalEvery: 0 } : settings);
  const patch = patchWith(patcher);
  const sources: { documents: DocumentSource; weight?: number }[] = [];
  try {
    if (!weights && settings.documents === 'pieces') sources.push({ documents: new TextPieces(train, settings.documentBytes) });
    else {
      for (const [i, part] of (weights ? data.map((d) => [d]) : [data]).entries()) {
        const documents = settings.documents === 'files' ? await fileDocuments(part) : new TextPieces(await openByteFiles(part), settings.documentBytes);
        sources.push({ documents, ...(weights && { weight: weights[i]! }) });
      }
      await train.close();
    }
    const batches = new PatchedDocuments(sources.map((s) => ({ ...s, patch })), { patches, batch, maxBytes: rowBytes, seed, buffer });
    return { batches, valid, ranges, close: () => batches.close() };
  } catch (e) {
    await train.close();
    for (const { documents } of sources) await documents.close();
    throw e;
  }
}
