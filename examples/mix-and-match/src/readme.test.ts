import { fileURLToPath } from 'node:url';
import { checkReadme } from '@bytelm/example-shared/testing';
import { spawnCli } from './testing/run.js';

checkReadme({ path: fileURLToPath(new URL('../README.md', import.meta.url)), program: 'mix-and-match', spawnCli, atLeast: 2 });
