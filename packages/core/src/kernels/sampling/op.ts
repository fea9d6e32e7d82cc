import { defineOp } from '../../op/define-op.js';
import { filteredProbabilities, pick } from '../../generate/sampling.js';
import { cpuKernel, naiveForm, type Loops } from '../host.js';
import { portableSample, type SampleAttrs } from './portable.js';
import { webGpuSample } from './webgpu.js';

const sampleLoops: Loops<'logits' | 'draws', SampleAttrs> = ({ logits, draws }, { temperature, topK, topP }) => {
  const [batch, classes] = logits!.shape as [number, number];
  const ids = Int32Array.from({ length: batch }, (_, b) => {
    const row = logits!.values.subarray(b * classes, (b + 1) * classes);
    return pick(filteredProbabilities(row, { temperature, topK: topK || undefined, topP }), draws!.values[b]!);
  });
  return [{ shape: [batch], values: ids }];
};

/** logits (B, V), draws (B) → (B) int32. */
export const sampleOp = defineOp<'logits' | 'draws', SampleAttrs>({
  name: 'Sample',
  inputs: ['logits', 'draws'],
  portable: portableSample,
  naive: naiveForm(sampleLoops),
  kernels: { cpu: cpuKernel(sampleLoops), webgpu: webGpuSample },
});
