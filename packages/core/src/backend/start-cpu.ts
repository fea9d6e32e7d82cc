import * as tf from '@tensorflow/tfjs-core';
import { runningBackend } from './register.js';
import { type StartedBackend, StartFailure } from './info.js';

/** tfjs' plain JavaScript backend. */
export async function startCpu(): Promise<StartedBackend> {
  if (!tf.findBackendFactory('cpu')) {
    await import('@tensorflow/tfjs-backend-cpu').catch((e: unknown) => {
      throw new StartFailure('@tensorflow/tfjs-backend-cpu cannot be loaded', 'npm install @tensorflow/tfjs-backend-cpu', { cause: e });
    });
  }
  const backend = (tf.findBackend('cpu') ?? runningBackend('cpu')) as unknown as { firstUse?: boolean };
  // Else the first tensor prints a banner that advises tfjs-node.
  if (backend) backend.firstUse = false;
  return { device: 'JavaScript' };
}
