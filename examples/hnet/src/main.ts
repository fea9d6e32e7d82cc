/** `hnet`: every sub-command says more with `--help`. */
import { runCli } from './cli/run.js';

// A reader that has seen enough (`generate | head`) is no error.
process.stdout.on('error', (e: NodeJS.ErrnoException) => process.exit(e.code === 'EPIPE' ? 0 : 1));

const code = await runCli(process.argv.slice(2));
// Threads of a backend may still be alive; what was printed is out before the process ends.
process.stdout.write('', () => process.exit(code));
