import type { KernelBackend } from '@tensorflow/tfjs-core';
import { firstLine, importInNode, isNode } from './environment.js';
import { type BackendOptions, type StartedBackend, StartFailure } from './info.js';
import { registerInstance, runningBackend } from './register.js';
import { watchDevice } from './webgpu-errors.js';
import { guardPrograms } from './webgpu-guard.js';

/** What kernels may use when the device has it; tfjs asks for the first only. */
const FEATURES = ['timestamp-query', 'shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as const;
/** Raised to what the adapter has; a device without these requests gets WebGPU's small defaults. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupsPerDimension',
] as const;

let started: StartedBackend | undefined;

/** WebGPU: of the browser, or in Node through Dawn (npm `webgpu`). */
export async function startWebgpu(options: BackendOptions, refuseSoftware = false): Promise<StartedBackend> {
  if (started && runningBackend('webgpu')) return started;
  const gpu = await findGpu();
  const adapter = await gpu.requestAdapter({ powerPreference: options.powerPreference ?? 'high-performance' });
  if (!adapter) {
    const hint = isNode()
      ? "install a GPU driver, or a software one: Mesa's lavapipe (24 or later), package `mesa-vulkan-drivers`"
      : 'use a browser and a GPU with WebGPU switched on';
    throw new StartFailure('no adapter', hint);
  }
  const { info } = adapter;
  const device = info.description || info.device || `${info.vendor} ${info.architecture}`.trim() || 'unnamed GPU';
  const isSoftware = Boolean(info.isFallbackAdapter) || /llvmpipe|lavapipe|swiftshader|basic render/i.test(`${info.device} ${info.description} ${info.architecture}`);
  if (isSoftware && refuseSoftware) {
    throw new StartFailure(`the only adapter is emulated on the CPU (${device})`, "ask for 'webgpu', or set `allowSoftware`, to use it anyway");
  }
  const tfjs = await import('@tensorflow/tfjs-backend-webgpu').catch((e: unknown) => {
    throw new StartFailure('@tensorflow/tfjs-backend-webgpu cannot be loaded', 'npm install @tensorflow/tfjs-backend-webgpu', { cause: e });
  });
  let limits: Record<string, number> = {};
  let features: string[] = [];
  await registerInstance(
    'webgpu',
    async () => {
      const own = await makeDevice(adapter);
      limits = Object.fromEntries(LIMITS.map((k) => [k, own.limits[k]]));
      features = FEATURES.filter((f) => own.features.has(f as GPUFeatureName));
      watchDevice(own);
      const backend = new tfjs.WebGPUBackend(own, info) as unknown as KernelBackend;
      guardPrograms(backend);
      return backend;
    },
    3,
  );
  return (started = { device, isSoftware, limits, features });
}

async function findGpu(): Promise<GPU> {
  const present = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (present) return present;
  if (!isNode()) throw new StartFailure('this browser has no navigator.gpu', 'use a browser with WebGPU, and https or localhost');
  const dawn = await importInNode('webgpu').catch((e: unknown) => {
    throw new StartFailure(`npm's webgpu cannot be loaded (${firstLine(e)})`, 'npm install webgpu', { cause: e });
  });
  const gpu = dawn.create([]) as GPU;
  Object.assign(globalThis, dawn.globals);
  // tfjs looks for navigator.gpu. It also keeps `gpu` alive: Dawn frees its instance with it, and using an adapter then crashes the process.
  if (globalThis.navigator) Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true });
  else Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'node' }, configurable: true, writable: true });
  return gpu;
}

async function makeDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const requiredFeatures = FEATURES.filter((f) => adapter.features.has(f as GPUFeatureName)) as GPUFeatureName[];
  const requiredLimits = Object.fromEntries(LIMITS.map((k) => [k, adapter.limits[k]]));
  try {
    return await adapter.requestDevice({ requiredFeatures, requiredLimits });
  } catch (e) {
    throw new StartFailure(`the adapter gives no device (${firstLine(e)})`, 'update the GPU driver', { cause: e });
  }
}
