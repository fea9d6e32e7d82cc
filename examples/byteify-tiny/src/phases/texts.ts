import { readFileSync } from 'node:fs';
import { DataError } from '@bytelm/core';
import { readBytes } from '@bytelm/example-shared/train';
import type { Recipe } from '../recipe.js';

/** Texts that models are reported on. */
export interface Texts {
  /** Of the kind that everything was trained on, */
  test: Uint8Array;
  /** and of the other kind. */
  other: Uint8Array;
}

/** Byte ranges of the other text: to train on, and to report on. */
export function otherRanges({ other }: Pick<Recipe, 'other'>): { train: [number, number]; test: [number, number] } {
  const { length } = read(other.file);
  const cut = Math.floor(length * other.share);
  return { train: [0, cut], test: [cut, length] };
}

export async function readTexts(recipe: Recipe): Promise<Texts> {
  const { data, other, scoreBytes } = recipe;
  const { test } = otherRanges(recipe);
  return {
    test: (await readBytes(data.files, data.testRange)).subarray(0, scoreBytes),
    other: read(other.file).subarray(...test).subarray(0, scoreBytes),
  };
}

function read(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (e) {
    throw new DataError(`[byteify-tiny] ${file}: it cannot be read (${(e as Error).message}). Hint: check the path.`, { cause: e });
  }
}
