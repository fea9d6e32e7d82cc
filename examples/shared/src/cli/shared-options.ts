import { Option, type Command } from 'commander';
import { BACKEND_NAMES, type BackendName } from '@bytelm/core';
import { real, whole } from './values.js';

export type BackendChoice = BackendName | 'auto';

export interface SharedOptions {
  backend: BackendChoice;
  seed: number;
}

const VARIABLE = 'BYTELM_BACKEND';

/** `--backend` and `--seed`, as every sub-command has them. The backend's name is checked where it starts, so that the message is the same everywhere. */
export function withSharedOptions(command: Command, defaultBackend: BackendChoice): Command {
  const backend = new Option('--backend <name>', `${BACKEND_NAMES.join(', ')} or auto (the fastest that starts); BYTELM_BACKEND sets another default`).default(defaultBackend);
  // commander would take an empty variable for a value.
  if (process.env[VARIABLE]) backend.env(VARIABLE);
  return command
    .addOption(backend)
    .option('--seed <number>', 'seed of everything random', whole(0), 0);
}

/** `--temperature`, `--top-k` and `--top-p` of commands that write text, piece by piece. */
export function withSamplingOptions(command: Command, piece: 'byte' | 'token'): Command {
  return command
    .option('--temperature <number>', `divides the logits; 0 always takes the most likely ${piece}`, real(0), 1)
    .option('--top-k <number>', `sample among the k most likely ${piece}s`, whole())
    .option('--top-p <share>', `sample among the most likely ${piece}s that hold this probability`, real(0, 1));
}
