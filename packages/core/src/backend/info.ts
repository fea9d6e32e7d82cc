import type { BackendName } from '../op/define-op.js';

/** What {@link initBackend} started, and why that one. */
export interface BackendInfo {
  readonly name: BackendName;
  /** Who asked for it, or what was tried before it and why that was passed over. */
  readonly reason: string;
  /** The device in words, e.g. `llvmpipe (LLVM 15.0.6, 256 bits)` or `TensorFlow 2.16.1 on CPU`. */
  readonly device: string;
  /** True when a WebGPU adapter runs on the CPU: right for tests, slower than `wasm`. */
  readonly isSoftware: boolean;
  /** Device limits under their WebGPU names, in their units (bytes, counts); `maxMemoryBytes` for `wasm`. */
  readonly limits: Readonly<Record<string, number>>;
  /** WebGPU features of the device (`shader-f16`, `subgroups`, …), `simd`/`threads` for wasm, `cuda` for TensorFlow on a GPU. */
  readonly features: readonly string[];
  /** Whether `tensor.dataSync()` can be relied on here: not on WebGPU. */
  readonly canReadSync: boolean;
}

export interface BackendOptions {
  /** With `'auto'`: take WebGPU even when its adapter is emulated on the CPU. Default false. */
  allowSoftware?: boolean;
  /** Which of several GPUs. Default `high-performance`. */
  powerPreference?: 'high-performance' | 'low-power';
  /** Where the `.wasm` files of `@tensorflow/tfjs-backend-wasm` are served, ending in `/`. In Node they are found without it. */
  wasmPaths?: string | Record<string, string>;
}

/** What the start of a single backend reports; `initBackend` adds the rest. */
export type StartedBackend = Pick<BackendInfo, 'device'> & Partial<Pick<BackendInfo, 'isSoftware' | 'limits' | 'features'>>;

/** Why a backend did not start, and what to do about it. */
export class StartFailure extends Error {
  constructor(
    message: string,
    readonly hint: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}
