import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { BackendError } from '../errors.js';

interface ProgramRunner {
  device: GPUDevice;
  runWebGPUProgram(program: { outputShape: number[]; constructor: { name: string }; shaderKey?: string }, inputs: TensorInfo[], ...rest: unknown[]): TensorInfo;
}

const bytesOf = (shape: readonly number[], dtype: string) => shape.reduce((a, b) => a * b, dtype === 'complex64' ? 8 : 4);

/** Throws when a tensor is larger than what one binding of the device can hold. */
export function checkBindingSize(device: GPUDevice, where: string, what: string, shape: readonly number[], dtype: string): void {
  const bytes = bytesOf(shape, dtype);
  const most = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
  if (bytes > most) {
    throw new BackendError(
      `[${where}] ${what} with shape (${shape.join(', ')}) takes ${bytes} bytes, this WebGPU device binds at most ${most} at a time. ` +
        `Hint: a smaller batch or shorter sequences, a table in several parts, or another backend.`,
    );
  }
}

/** Puts the check before every program of tfjs itself, which would go on with garbage instead. */
export function guardPrograms(backend: KernelBackend): void {
  const own = backend as unknown as ProgramRunner;
  const run = own.runWebGPUProgram;
  own.runWebGPUProgram = function (program, inputs, ...rest) {
    const where = `webgpu ${(program.shaderKey ?? 'program').split('_')[0]}`;
    inputs.forEach((t, i) => checkBindingSize(own.device, where, `input ${i}`, t.shape, t.dtype));
    checkBindingSize(own.device, where, 'the output', program.outputShape, 'float32');
    return run.call(this, program, inputs, ...rest);
  };
}
