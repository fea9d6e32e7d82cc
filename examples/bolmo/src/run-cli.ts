import { runProgram } from '@bytelm/example-shared/cli';
import { addChunksCommand, addEvaluateCommand, addGenerateCommand } from '@bytelm/example-shared/commands';
import { addInspectCommand } from './commands/inspect.js';
import { BOLMO } from './family.js';

/** Runs one command line and prints what it has to say. @returns the exit code. */
export const runCli = (args: readonly string[]): Promise<number> =>
  runProgram(
    'bolmo',
    'Bolmo: subword models made to read and write bytes',
    [(p) => addGenerateCommand(p, BOLMO), (p) => addChunksCommand(p, BOLMO), (p) => addEvaluateCommand(p, BOLMO), addInspectCommand],
    args,
  );
