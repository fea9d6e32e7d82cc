import { runProgram } from '@bytelm/example-shared/cli';
import { addChunksCommand, addEvaluateCommand, addGenerateCommand } from '@bytelm/example-shared/commands';
import { addDemoCommand } from './commands/demo.js';
import { addInspectHNetCommand } from './commands/inspect.js';
import { addTrainHNetCommand } from './commands/train.js';
import { HNET } from './family.js';

/** Runs one command line and prints what it has to say. @returns the exit code. */
export const runCli = (args: readonly string[]): Promise<number> =>
  runProgram(
    'hnet',
    'H-Net: a byte-level language model that learns where to cut its text',
    [addDemoCommand, addTrainHNetCommand, (p) => addGenerateCommand(p, HNET), (p) => addChunksCommand(p, HNET), (p) => addEvaluateCommand(p, HNET), addInspectHNetCommand],
    args,
  );
