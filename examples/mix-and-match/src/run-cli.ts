import { runProgram } from '@bytelm/example-shared/cli';
import { addListCommand } from './commands/list.js';
import { addTrainCommand } from './commands/train.js';

/** Runs one command line and prints what it has to say. @returns the exit code. */
export const runCli = (args: readonly string[]): Promise<number> =>
  runProgram('mix-and-match', 'byte-level language models out of parts of several papers', [addListCommand, addTrainCommand], args);
