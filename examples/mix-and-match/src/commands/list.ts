import type { Command } from 'commander';
import { initBackend, Rng } from '@bytelm/core';
import { createEntropyModel } from '@bytelm/example-blt';
import { count } from '@bytelm/example-shared/cli';
import { buildSwap } from '../build.js';
import { BASES, BYTES_PER_CHUNK, ENTROPY_MODEL } from '../sizes.js';
import { SWAPS } from '../swaps/index.js';

/** `list`: every swap and which objects it replaces. */
export function addListCommand(program: Command): void {
  program.command('list').description('every swap: which objects are new, and parameters').action(list);
}

async function list(): Promise<void> {
  await initBackend('cpu');
  const entropy = { model: createEntropyModel(ENTROPY_MODEL), threshold: 1 };
  for (const swap of SWAPS) {
    const { model, replaced } = buildSwap(swap, BASES, { rng: new Rng(0), entropy, ratioTarget: BYTES_PER_CHUNK, straightThrough: true });
    const note = replaced.length ? `${swap.title} (${replaced.join(', ')})` : swap.title;
    process.stdout.write(`${swap.name.padEnd(26)} ${count(model.numParameters).padStart(9)} parameters   ${note}\n`);
    model.dispose();
  }
  entropy.model.dispose();
}
