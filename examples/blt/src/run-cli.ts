import { runProgram } from '@bytelm/example-shared/cli';
import { addChunksCommand, addEvaluateCommand, addGenerateCommand } from '@bytelm/example-shared/commands';
import { addInspectCommand } from './commands/inspect.js';
import { addPatchCommand } from './commands/patch.js';
import { addTrainBLTCommand } from './commands/train.js';
import { addTrainEntropyCommand } from './commands/train-entropy.js';
import { BLT } from './family.js';

/** Runs one command line and prints what it has to say. @returns the exit code. */
export const runCli = (args: readonly string[]): Promise<number> =>
  runProgram(
    'blt',
    'BLT: a byte-level language model over patches that begin where the next byte is hard to tell',
    [addTrainEntropyCommand, addTrainBLTCommand, (p) => addGenerateCommand(p, BLT), addPatchCommand, (p) => addChunksCommand(p, BLT), (p) => addEvaluateCommand(p, BLT), addInspectCommand],
    args,
  );
