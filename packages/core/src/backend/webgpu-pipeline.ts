import { report } from './webgpu-errors.js';

/** Bindings of a kernel in order: read-only tensors, written tensors, and the uniforms last if there are any. */
export interface PipelineShape {
  inputs: number;
  outputs: number;
  uniforms: boolean;
}

export interface Pipeline {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
}

const caches = new WeakMap<GPUDevice, Map<string, Pipeline>>();

/**
 * The compiled kernel, made at first use (20-90 ms on a software adapter) and kept as long as the device.
 * The layout is explicit, so that a shader need not touch every binding.
 */
export function computePipeline(
  device: GPUDevice,
  key: string,
  code: string | (() => string),
  constants: Record<string, number> | undefined,
  { inputs, outputs, uniforms }: PipelineShape,
): Pipeline {
  let cache = caches.get(device);
  if (!cache) caches.set(device, (cache = new Map()));
  const id = `${key}|${inputs},${outputs},${uniforms}|${constants ? JSON.stringify(constants) : ''}`;
  let made = cache.get(id);
  if (!made) {
    const text = typeof code === 'string' ? code : code();
    device.pushErrorScope('validation');
    const types: GPUBufferBindingType[] = [
      ...Array<GPUBufferBindingType>(inputs).fill('read-only-storage'),
      ...Array<GPUBufferBindingType>(outputs).fill('storage'),
      ...(uniforms ? (['uniform'] as const) : []),
    ];
    const layout = device.createBindGroupLayout({
      label: key,
      entries: types.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
    });
    const pipeline = device.createComputePipeline({
      label: key,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ code: text, label: key }), entryPoint: 'main', ...(constants ? { constants } : {}) },
    });
    void device.popErrorScope().then((error) => {
      if (error) report(`kernel \`${key}\`: ${error.message}\n${numbered(text)}`);
    });
    cache.set(id, (made = { pipeline, layout }));
  }
  return made;
}

/** The text with the line numbers that compilers speak of. */
const numbered = (text: string) => text.split('\n').map((line, i) => `${String(i + 1).padStart(4)} ${line}`).join('\n');
