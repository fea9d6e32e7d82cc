import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '@bytelm/core';
import { writeFileAtomic } from '@bytelm/core/io';
import { phasesOf } from './phases/index.js';
import { runPhases } from './phases/phase.js';
import type { Recipe } from './recipe.js';
import type { Claim } from './report/claims.js';
import { writeReport } from './report/write.js';

export const recipeFile = (out: string): string => join(out, 'recipe.json');

/**
 * Does all phases of a recipe in a folder, or those that are left; the report is written after each.
 * @param only Names of phases; default all.
 * @returns what was found; `undefined` when it was stopped before its end.
 */
export async function runRecipe(out: string, recipe: Recipe, only?: readonly string[]): Promise<Claim[] | undefined> {
  const phases = phasesOf(recipe).filter(({ name }) => only?.includes(name) ?? true);
  const unknown = (only ?? []).filter((name) => !phases.some((p) => p.name === name));
  if (unknown.length) throw new ConfigError(`[byteify-tiny] --only ${unknown.join(' ')}: expected some of ${phasesOf(recipe).map((p) => p.name).join(', ')}.`);
  mkdirSync(out, { recursive: true });
  await writeFileAtomic(recipeFile(out), `${JSON.stringify(recipe, null, 1)}\n`);
  const isDone = await runPhases(phases, out, recipe, async () => void (await writeReport(out, recipe)));
  const claims = await writeReport(out, recipe);
  return isDone ? claims : undefined;
}
