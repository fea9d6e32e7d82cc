import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkReadme, testCli } from '@bytelm/example-shared/testing';
import { runCli } from './run-cli.js';
import { TINY_MODEL } from './source.js';

const hasTiny = existsSync(join(TINY_MODEL, 'model.safetensors'));

checkReadme({
  path: fileURLToPath(new URL('../README.md', import.meta.url)),
  program: 'bolmo',
  spawnCli: testCli('bolmo', runCli).spawnCli,
  atLeast: 1,
  // Skipped only before it has been trained.
  lacks: ([name, model]) => (!hasTiny && !(name === 'inspect' && model !== undefined) ? 'models/tiny' : undefined),
});
