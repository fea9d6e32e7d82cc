import { runProgram, type AddCommand } from '@bytelm/example-shared/cli';
import { addChunksCommand, addEvaluateCommand, addGenerateCommand } from '@bytelm/example-shared/commands';
import { addClaimsCommand } from './commands/claims.js';
import { addConvertCommand } from './commands/convert.js';
import { addInspectBLTCommand } from './commands/inspect.js';
import { addKnownAnswerCommand } from './commands/known-answer.js';
import { addPatchCommand } from './commands/patch.js';
import { addSpeculateCommand } from './commands/speculate.js';
import { addSynthCheckpointCommand } from './commands/synth-checkpoint.js';
import { addTrainBLTCommand } from './commands/train.js';
import { addTrainEntropyCommand } from './commands/train-entropy.js';
import { BLT } from './family.js';

const COMMANDS: readonly AddCommand[] = [
  (p) => addGenerateCommand(p, BLT),
  addSpeculateCommand,
  (p) => addChunksCommand(p, BLT),
  addTrainEntropyCommand,
  addTrainBLTCommand,
  addPatchCommand,
  (p) => addEvaluateCommand(p, BLT),
  addInspectBLTCommand,
  addConvertCommand,
  addKnownAnswerCommand,
  addSynthCheckpointCommand,
  addClaimsCommand,
];

/** Runs one command line and prints what it has to say. @returns the exit code. */
export const runCli = (args: readonly string[]): Promise<number> =>
  runProgram('blt', 'BLT: a byte-level language model over patches that begin where the next byte is hard to tell', COMMANDS, args);
