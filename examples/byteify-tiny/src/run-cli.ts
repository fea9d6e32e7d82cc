import { runProgram } from '@bytelm/example-shared/cli';
import { addByteifyTinyCommand } from './command.js';

/** Runs one command line and prints what it has to say. @returns the exit code. */
export const runCli = (args: readonly string[]): Promise<number> => runProgram('byteify-tiny', 'from a subword model to a byte model, the whole way, on a small scale', [addByteifyTinyCommand], args);
