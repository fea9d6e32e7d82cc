/** `bolmo`: every sub-command says more with `--help`. */
import { runMain } from '@bytelm/example-shared/cli';
import { runCli } from './run-cli.js';

await runMain(runCli);
