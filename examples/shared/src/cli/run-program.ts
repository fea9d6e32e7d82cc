import { Command, CommanderError } from 'commander';
import { errorText } from './report-error.js';

/** Adds one sub-command to a program. */
export type AddCommand = (program: Command) => void;

/** Runs one command line and prints what it has to say. @returns the exit code. */
export async function runProgram(name: string, description: string, commands: readonly AddCommand[], args: readonly string[]): Promise<number> {
  const program = new Command(name).description(description).exitOverride().showHelpAfterError('(--help shows every option)');
  for (const add of commands) add(program);
  try {
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (e) {
    if (e instanceof CommanderError) return e.exitCode;
    process.stderr.write(`${errorText(e)}\n`);
    return 1;
  }
}

/** The whole of a `main.ts`: runs the arguments of this process and ends it. */
export async function runMain(run: (args: readonly string[]) => Promise<number>): Promise<void> {
  // A reader that has seen enough (`generate | head`) is no error.
  process.stdout.on('error', (e: NodeJS.ErrnoException) => process.exit(e.code === 'EPIPE' ? 0 : 1));
  const code = await run(process.argv.slice(2));
  // Threads of a backend may still be alive; what was printed is out before the process ends.
  process.stdout.write('', () => process.exit(code));
}
