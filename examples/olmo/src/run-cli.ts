import { runProgram } from '@bytelm/example-shared/cli';
import { addEvaluateCommand } from './commands/evaluate.js';
import { addGenerateCommand } from './commands/generate.js';
import { addInspectCommand } from './commands/inspect.js';
import { addTrainOlmoCommand } from './commands/train.js';

/** Runs one command line and prints what it has to say. @returns the exit code. */
export const runCli = (args: readonly string[]): Promise<number> =>
  runProgram('olmo', 'OLMo 2, Olmo 3 and Llama 3: subword models to byteify, and to compare with', [addGenerateCommand, addTrainOlmoCommand, addInspectCommand, addEvaluateCommand], args);
