import { fileURLToPath } from 'node:url';
import { RUN_DEFAULTS, type RunSettings } from '@bytelm/example-shared/train';

/** Text that comes with the repository. */
export const PROSE = fileURLToPath(new URL('../../../data/prose.txt', import.meta.url));

/** The same for every swap, and for the entropy model. */
export const DEFAULTS = { ...RUN_DEFAULTS, steps: 300, batch: 8, length: 256, lr: 3e-3, evalBytes: 32_768 } as const satisfies Partial<RunSettings>;
