import { Option, type Command } from 'commander';
import type { BoundaryEmittingLM } from '@bytelm/core';
import { count, whole } from '@bytelm/example-shared/cli';
import { addEvaluateCommand, type FurtherEvaluation } from '@bytelm/example-shared/commands';
import { scoreRows, SCORE_HEAD, table } from '../byteify/report.js';
import { scoreOf, scoreStudent } from '../byteify/score.js';
import { BOLMO } from '../family.js';
import { findTokenizer, type BolmoSource } from '../source.js';

interface BoundaryOptions {
  boundaries?: boolean;
  patches: number;
}

/** `bolmo evaluate` */
export const addEvaluateBolmoCommand = (program: Command): void => addEvaluateCommand(program, BOLMO, FURTHER);

const FURTHER: FurtherEvaluation<BolmoSource, BoundaryOptions> = {
  addOptions(command) {
    command
      .addOption(new Option('--boundaries', "joint and folded likelihoods, with the tokenizer's boundaries and the model's own, and how well those agree; in windows of tokens, each alone"))
      .option('--patches <number>', 'with --boundaries: tokens of a window, the begin symbol included', whole(2), 128);
  },
  isWanted: ({ boundaries }) => Boolean(boundaries),
  async run({ model, source }, bytes, { patches, batch, json }) {
    const score = await scoreStudent(model as BoundaryEmittingLM, await findTokenizer(source), bytes, { patches, batch });
    if (json) process.stdout.write(`${JSON.stringify({ model: source.name, ...score, patches })}\n`);
    else process.stdout.write(`${table([[...SCORE_HEAD], ...scoreRows([['model', scoreOf(score)]], undefined)])}\n\nscored: ${count(score.bytes)} bytes in windows of ${patches} tokens of ${score.bytesPerPatch.tokenizer.toFixed(2)} bytes\n`);
  },
};
