import { Command } from 'commander';
import { errorText } from './cli/report-error.js';
import { addChunksCommand } from './commands/chunks.js';
import { addDemoCommand } from './commands/demo.js';
import { addEvaluateCommand } from './commands/evaluate.js';
import { addGenerateCommand } from './commands/generate.js';
import { addInspectCommand } from './commands/inspect.js';
import { addTrainCommand } from './commands/train.js';

const program = new Command('hnet').description('H-Net: a byte-level language model that learns where to cut its text').showHelpAfterError('(--help shows every option)');
for (const add of [addDemoCommand, addTrainCommand, addGenerateCommand, addChunksCommand, addEvaluateCommand, addInspectCommand]) add(program);

// A reader that has seen enough (`generate | head`) is no error.
process.stdout.on('error', (e: NodeJS.ErrnoException) => process.exit(e.code === 'EPIPE' ? 0 : 1));

try {
  await program.parseAsync();
} catch (e) {
  process.stderr.write(`${errorText(e)}\n`);
  process.exitCode = 1;
}
// Device threads of a backend may still be alive; what was printed is out before the process ends.
process.stdout.write('', () => process.exit());
