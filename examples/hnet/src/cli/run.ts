import { Command, CommanderError } from 'commander';
import { addChunksCommand } from '../commands/chunks.js';
import { addDemoCommand } from '../commands/demo.js';
import { addEvaluateCommand } from '../commands/evaluate.js';
import { addGenerateCommand } from '../commands/generate.js';
import { addInspectCommand } from '../commands/inspect.js';
import { addTrainCommand } from '../commands/train.js';
import { errorText } from './report-error.js';

/** Runs one command line and prints what it has to say. @returns the exit code. */
export async function runCli(args: readonly string[]): Promise<number> {
  const program = new Command('hnet').description('H-Net: a byte-level language model that learns where to cut its text').exitOverride().showHelpAfterError('(--help shows every option)');
  for (const add of [addDemoCommand, addTrainCommand, addGenerateCommand, addChunksCommand, addEvaluateCommand, addInspectCommand]) add(program);
  try {
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (e) {
    if (e instanceof CommanderError) return e.exitCode;
    process.stderr.write(`${errorText(e)}\n`);
    return 1;
  }
}
