// Started as a process of its own, since a driver is chosen by variables that count only at process start.
// Prints what Dawn's adapter is as JSON, after one shader ran on it and gave the right numbers; prints `null` without an adapter.
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
// Kept: Dawn's instance goes away with this object, under the feet of everything made from it.
const gpu = create([]);
const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
if (!adapter) console.log('null');
else {
  const device = await adapter.requestDevice();
  const code = '@group(0) @binding(0) var<storage, read_write> y: array<u32>; @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3u) { y[i.x] = i.x * i.x; }';
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module: device.createShaderModule({ code }), entryPoint: 'main' } });
  const y = device.createBuffer({ size: 256, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const read = device.createBuffer({ size: 256, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: y } }] }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(y, 0, read, 0, 256);
  device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ);
  const values = new Uint32Array(read.getMappedRange());
  if (values.some((v, i) => v !== i * i)) throw new Error(`wrong result: ${values}`);
  const { vendor, architecture, device: name, description, isFallbackAdapter } = adapter.info;
  console.log(JSON.stringify({ vendor, architecture, name, description, isSoftware: Boolean(isFallbackAdapter) || /llvmpipe|swiftshader/i.test(`${name} ${description} ${architecture}`) }));
  device.destroy();
}
process.exit(gpu ? 0 : 1);
