import { runProgram } from '@bytelm/example-shared/cli';
import { addTrainEntropyCommand } from './commands/train-entropy.js';

/** Runs one command line and prints what it has to say. @returns the exit code. */
export const runCli = (args: readonly string[]): Promise<number> => runProgram('blt', 'BLT: a byte-level language model over patches that begin where the next byte is hard to tell', [addTrainEntropyCommand], args);
