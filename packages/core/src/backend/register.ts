import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend } from '@tensorflow/tfjs-core';

/** tfjs' running instance of a backend, if there is one; unlike `tf.findBackend` this starts nothing. */
export function runningBackend(name: string): KernelBackend | undefined {
  return (tf.engine() as unknown as { registry: Record<string, KernelBackend> }).registry[name];
}

/**
 * Makes the backend here and hands tfjs the finished instance: tfjs itself would turn an error of the factory into a log line and `false`.
 */
export async function registerInstance(name: string, make: () => KernelBackend | Promise<KernelBackend>, priority: number): Promise<void> {
  if (runningBackend(name)) return;
  const instance = await make();
  if (tf.findBackendFactory(name)) tf.removeBackend(name);
  tf.registerBackend(name, () => instance, priority);
}
