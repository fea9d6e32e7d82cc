/** Helpers for tests of the command line. */
import { testCli } from '@bytelm/example-shared/testing';
import { runCli } from '../run-cli.js';

export { temporaryFolder, TEXT } from '@bytelm/example-shared/testing';
export const { spawnCli, callCli } = testCli('mix-and-match', runCli);
