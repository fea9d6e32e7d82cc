import { beforeAll, describe, it } from 'vitest';
import {
  addRmsNorm, crossEntropy, embedding, gatherRows, linearCrossEntropy, rmsNorm, rmsNormGated, scan, segmentPool, setKernelPolicy, splitSwiglu,
  type KernelPolicy,
} from '../index.js';
import { backendsForTest, expectNoLeak, useBackend } from '../testing/index.js';
import { checkCase, type Tensors } from './check-case.test-util.js';

type Run = (inputs: Tensors, attrs: Record<string, any>) => Tensors;

const norm: Run = ({ x, weight }, { eps, group_size }) => ({ y: rmsNorm(x, weight, { eps, groupSize: group_size }) });
const gated: Run = ({ x, z, weight }, { eps, group_size, norm_before_gate }) => ({
  y: rmsNormGated(x, z, weight, { eps, groupSize: group_size, normBeforeGate: norm_before_gate }),
});
const addNorm: Run = ({ x, residual, weight }, { eps }) => {
  const { normed, sum } = addRmsNorm(x, residual, weight, { eps });
  return { y: normed, residual: sum };
};
const linearScan: Run = ({ a, b, h0, lengths, seq_idx }, { reverse }) => {
  const { y, finalState } = scan(b, a, { initialState: h0, lengths, documentIds: seq_idx, reverse });
  return { h: y, last: finalState };
};
const pool: Run = ({ x, ids }, { mode, num_segments }) => ({ y: segmentPool(x, ids, num_segments, mode) });
const xent: Run = ({ logits, labels }, { ignore_index, z_loss }) => ({ loss: crossEntropy(logits, labels, { ignoreIndex: ignore_index, zLoss: z_loss }) });

const cases: [Run, string[]][] = [
  [norm, ['rmsnorm', 'rmsnorm_tiny', 'rmsnorm_wide']],
  [gated, ['gated_rmsnorm', 'gated_rmsnorm_before', 'gated_rmsnorm_groups']],
  [addNorm, ['add_rmsnorm']],
  [linearScan, ['scan', 'scan_lengths', 'scan_long', 'scan_reverse', 'scan_seqidx', 'scan_shared']],
  [pool, ['segpool_first', 'segpool_last', 'segpool_max', 'segpool_mean', 'segpool_min', 'segpool_sum', 'segpool_ties']],
  [({ x, idx }) => ({ y: gatherRows(x, idx) }), ['gather_rows']],
  [({ weight, ids }) => ({ y: embedding(weight, ids) }), ['embedding']],
  [xent, ['xent', 'xent_all_ignored', 'xent_bytes', 'xent_zloss']],
  [({ hidden, weight, labels }) => ({ loss: linearCrossEntropy(hidden, weight, labels) }), ['linear_xent']],
  [({ h }, { gate_first }) => ({ y: splitSwiglu(h, { order: gate_first ? 'gate-value' : 'value-gate' }) }), ['swiglu_gate_first', 'swiglu_gate_last']],
];

describe.each(backendsForTest())('golden cases of the core ops on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  describe.each<KernelPolicy>(['auto', 'portable'])('policy %s', (policy) => {
    for (const [run, names] of cases) {
      it.each(names)('%s', async (name) => {
        setKernelPolicy(policy);
        try {
          await expectNoLeak(() => checkCase(name, run));
        } finally {
          setKernelPolicy('auto');
        }
      });
    }
  });
});
