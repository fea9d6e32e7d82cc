import { hostOutput, type Loops } from '../host.js';
import { matMulSizes, type MatMulAttrs } from './sizes.js';

export const matMulLoops: Loops<'a' | 'b', MatMulAttrs> = ({ a, b }, attrs) => {
  const { batch, m, k, n, shape } = matMulSizes(a!.shape, b!.shape, attrs);
  const y = hostOutput(shape);
  const [ars, acs] = attrs.transposeA ? [1, m] : [k, 1];
  const [brs, bcs] = attrs.transposeB ? [1, k] : [n, 1];
  for (let g = 0; g < batch; g++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let q = 0; q < k; q++) sum += a!.values[g * m * k + i * ars + q * acs] * b!.values[g * k * n + q * brs + j * bcs];
        y.values[(g * m + i) * n + j] = sum;
      }
    }
  }
  return [y];
};
