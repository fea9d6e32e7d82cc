import { cpus } from 'node:os';

/** Processor, cores and day. */
export function machine(): string {
  const cores = cpus();
  return `${cores[0]?.model.trim() ?? 'unknown processor'}, ${cores.length} cores, ${new Date().toISOString().slice(0, 10)}`;
}
