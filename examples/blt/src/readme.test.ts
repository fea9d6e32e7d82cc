import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkReadme } from '@bytelm/example-shared/testing';
import { TINY_MODEL } from './family.js';
import { spawnCli } from './testing/run.js';

const hasTiny = existsSync(join(TINY_MODEL, 'model.safetensors'));

checkReadme({
  path: fileURLToPath(new URL('../README.md', import.meta.url)),
  program: 'blt',
  spawnCli,
  atLeast: 5,
  // Skipped only before it has been trained.
  lacks: ([name, model]) => (!hasTiny && !(name === 'inspect' && model === 'blt-1b') ? 'models/tiny' : undefined),
});
