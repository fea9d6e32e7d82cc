import { hostOutput, type Loops } from '../host.js';
import { adamwFactors, type AdamWAttrs, type AdamWInput } from './portable.js';

/** The definition: new [param, m, v]. Not in place, since tensors of the cpu backend may share an array with the user. */
export const adamwLoops: Loops<AdamWInput, AdamWAttrs> = ({ param, m, v, grad, scale }, attrs) => {
  const { beta1, beta2, eps } = attrs;
  const { keep, rate, root } = adamwFactors(attrs);
  const [nextP, nextM, nextV] = [param!, m!, v!].map((t) => hostOutput(t.shape));
  for (let i = 0; i < param!.values.length; i++) {
    const g = grad!.values[i]! * (scale?.values[0] ?? 1);
    nextM!.values[i] = m!.values[i]! * beta1 + g * (1 - beta1);
    nextV!.values[i] = v!.values[i]! * beta2 + g * g * (1 - beta2);
    nextP!.values[i] = param!.values[i]! * keep - (nextM!.values[i]! * rate) / (Math.sqrt(nextV!.values[i]!) * root + eps);
  }
  return [nextP!, nextM!, nextV!];
};

/** `sum` + Σx². */
export const sumSquaresLoops: Loops<'x' | 'sum', object> = ({ x, sum }) => {
  let total = sum?.values[0] ?? 0;
  for (const v of x!.values) total += v * v;
  return [{ shape: [], values: Float32Array.of(total) }];
};
