import * as tf from '@tensorflow/tfjs-core';
import { observeDispatches } from '../backend/webgpu-dispatch.js';

/** What `f` ran on the webgpu backend. */
export interface WebGpuTrace {
  /** WGSL of own kernels by key. */
  kernels: Record<string, string>;
  /** tfjs' own programs: the portable form runs on them. */
  programs: string[];
  /** Dispatches of own kernels. */
  dispatches: number;
}

interface ProgramRunner {
  runWebGPUProgram(program: { shaderKey?: string; constructor: { name: string } }, ...rest: unknown[]): unknown;
}

/** Texts by key, over all traces: a key that names two texts would run the wrong one. */
const known = new Map<string, string>();

/** Runs `f` on webgpu and notes its kernels; what it returns is disposed. @throws Error when one key names two texts. */
export function traceWebGpu(f: () => tf.TensorContainer): WebGpuTrace {
  const backend = tf.backend() as unknown as ProgramRunner;
  const trace: WebGpuTrace = { kernels: {}, programs: [], dispatches: 0 };
  const stop = observeDispatches((call) => {
    const text = typeof call.code === 'string' ? call.code : call.code();
    if ((known.get(call.key) ?? text) !== text) throw new Error(`the key \`${call.key}\` names two texts:\n${known.get(call.key)}\n\n${text}`);
    known.set(call.key, text);
    trace.kernels[call.key] = text;
    trace.dispatches++;
  });
  const run = backend.runWebGPUProgram;
  backend.runWebGPUProgram = function (program, ...rest) {
    trace.programs.push(program.constructor.name);
    return run.call(this, program, ...rest);
  };
  try {
    tf.tidy(() => void f());
  } finally {
    stop();
    backend.runWebGPUProgram = run;
  }
  return trace;
}

/** WGSL of all kernels that `f` runs, by key in order of their names: for snapshots. */
export function wgslOf(f: () => tf.TensorContainer): Record<string, string> {
  const { kernels } = traceWebGpu(f);
  return Object.fromEntries(Object.entries(kernels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Fails when `f` runs a program of tfjs (so the portable form, or a part of it), or no kernel whose key matches. */
export function expectKernel(f: () => tf.TensorContainer, key: RegExp): WebGpuTrace {
  const trace = traceWebGpu(f);
  const keys = Object.keys(trace.kernels);
  if (trace.programs.length) throw new Error(`expected kernels only, but tfjs ran ${trace.programs.join(', ')}`);
  if (!keys.some((k) => key.test(k))) throw new Error(`expected a kernel ${key}, ran ${keys.join('; ') || 'none'}`);
  return trace;
}
