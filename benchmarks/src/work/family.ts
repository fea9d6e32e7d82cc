import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SequenceLM } from '@bytelm/core';
import { loadParameters, openSafetensors } from '@bytelm/core/io';
import { findBLT, loadBLT } from '@bytelm/example-blt';
import { createHNet, type HNetConfig } from '@bytelm/example-hnet';

/** A model as the peers save it, and how it numbers bytes. */
export interface LoadedModel {
  model: SequenceLM;
  /** Added to each byte. */
  offset: number;
  bos: number;
}

/** Reads a folder with model.safetensors and config.json of either family; a BLT's config says what it is. */
export async function loadModel(folder: string, ratioTargets: readonly number[]): Promise<LoadedModel> {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as { model_type?: string };
  if (config.model_type === 'blt') return { model: await loadBLT(await findBLT(folder)), offset: 4, bos: 1 };
  const model = createHNet(config as HNetConfig, { ratioTargets });
  const source = await openSafetensors(join(folder, 'model.safetensors'));
  await loadParameters(model, source);
  await source.close();
  return { model, offset: 0, bos: 254 };
}
