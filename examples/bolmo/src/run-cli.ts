import { runProgram, type AddCommand } from '@bytelm/example-shared/cli';
import { addChunksCommand, addGenerateCommand } from '@bytelm/example-shared/commands';
import { addByteifyCommand } from './commands/byteify.js';
import { addCompressCommand } from './commands/compress.js';
import { addEvaluateBolmoCommand } from './commands/evaluate.js';
import { addInspectBolmoCommand } from './commands/inspect.js';
import { addMergeCommand } from './commands/merge.js';
import { BOLMO } from './family.js';

const COMMANDS: readonly AddCommand[] = [
  (p) => addGenerateCommand(p, BOLMO),
  (p) => addChunksCommand(p, BOLMO),
  addEvaluateBolmoCommand,
  addByteifyCommand,
  addCompressCommand,
  addMergeCommand,
  addInspectBolmoCommand,
];

/** Runs one command line and prints what it has to say. @returns the exit code. */
export const runCli = (args: readonly string[]): Promise<number> => runProgram('bolmo', 'Bolmo: subword models made to read and write bytes', COMMANDS, args);
