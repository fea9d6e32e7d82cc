import { defineOp } from '@bytelm/core';
import { probabilityGradPortable, probabilityPortable, type RoutingInput } from './portable.js';
import { probabilityGradWebGpu, probabilityWebGpu } from './webgpu.js';

/** dq, dk. */
export const boundaryProbabilityGradOp = defineOp<RoutingInput | 'p' | 'dp', object>({
  name: 'BoundaryProbabilityGrad',
  inputs: ['q', 'k', 'p', 'dp'],
  portable: probabilityGradPortable,
  kernels: { webgpu: probabilityGradWebGpu },
});

/** `p = clamp((1 − cos(q, k)) / 2, 0, 1)` row by row; q, k (R, D) → (R). Norms are floored at 1e-12. */
export const boundaryProbabilityOp = defineOp<RoutingInput, object>({
  name: 'BoundaryProbability',
  inputs: ['q', 'k'],
  saveOutputs: [true],
  portable: probabilityPortable,
  kernels: { webgpu: probabilityWebGpu },
  gradient: ({ dys: [dp], inputs, outputs: [p] }) => {
    const [q, k] = boundaryProbabilityGradOp({ ...inputs, p, dp }, {});
    return { q, k };
  },
});
