/** `byteify-tiny`: everything in one command; `--help` says more. */
import { runMain } from '@bytelm/example-shared/cli';
import { runCli } from './run-cli.js';

await runMain(runCli);
