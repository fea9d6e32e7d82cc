import '../gradients.js';
export { backendsForTest, useBackend } from './backends.js';
export { checkGradients, expectClose, expectNoLeak, maxError } from './expect.js';
export { fixtureRoot, loadCase, readGolden, toTensor, type HostTensor } from './fixtures.js';
export { cpuReferences, expectKernelCase, hostFloats, hostIntegers, type KernelCase, type KernelReference } from './kernel-cases.js';
export { fillParameters, positionAt, uniform } from './modules.js';
export { expectNativeAgrees, hasNativeOps, integerTensor, randomTensors } from './native-ops.js';
export { expectKernel, traceWebGpu, wgslOf, type WebGpuTrace } from './webgpu.js';
export { wgslTexts } from './wgsl-texts.js';
