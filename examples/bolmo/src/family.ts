import { existsSync } from 'node:fs';
import { BOLMO_VOCABULARY } from '@bytelm/distill';
import { chunkRow, type ModelFamily } from '@bytelm/example-shared/model';
import { findBolmo, loadBolmo, TINY_MODEL, type BolmoSource } from './source.js';

const { offset, bos, eos, numIds } = BOLMO_VOCABULARY;
const vocabulary = { offset, bos, eos, vocabSize: numIds };

/** Bolmos for the commands that every example has. */
export const BOLMO: ModelFamily<BolmoSource> = {
  program: 'bolmo',
  vocabulary,
  find: (options) => findBolmo(options.model ?? (existsSync(TINY_MODEL) ? TINY_MODEL : 'bolmo-tiny'), options.config),
  load: (source, { seed }) => loadBolmo(source, { seed }),
  nameOf: (source) => (source.name === TINY_MODEL ? 'tiny (comes with this example)' : source.name),
  stages: () => 1,
  pageNote: 'A patch ends where the boundary predictor, which sees the next byte, gives more than one half; the line below a byte is the probability that a patch starts there.',
  chunkRow: (model, _source, text, label) => chunkRow(model, vocabulary, text, label),
};
