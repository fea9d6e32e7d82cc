import { hostOutput, type HostArray, type Loops } from '../host.js';
import type { ScanAttrs, ScanGradInput, ScanInput } from './portable.js';

/** Visits the steps in scan order (or the opposite one when `backward`): which step came before (-1: none), does the state pass from it, does the step run. */
function eachStep(
  shape: number[],
  { lengths, documentIds }: { lengths?: HostArray; documentIds?: HostArray },
  reverse: boolean,
  visit: (b: number, t: number, previous: number, passes: boolean, runs: boolean) => void,
  backward = false,
): void {
  const [batch, length] = shape;
  const ascending = reverse === backward;
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < length; i++) {
      const t = ascending ? i : length - 1 - i;
      const p = reverse ? t + 1 : t - 1;
      const previous = p < 0 || p >= length ? -1 : p;
      const passes = !documentIds || previous < 0 || documentIds.values[b * length + t] === documentIds.values[b * length + previous];
      visit(b, t, previous, passes, !lengths || t < lengths.values[b]);
    }
  }
}

export const scanLoops: Loops<ScanInput, ScanAttrs> = ({ b, a, h0, lengths, documentIds }, { reverse }) => {
  const [batch, length, width] = b!.shape;
  const y = hostOutput(b!.shape);
  const final = hostOutput([batch, width]);
  if (h0) final.values.set(h0.values);
  const shared = a!.shape.length === 2;
  eachStep(b!.shape, { lengths, documentIds }, reverse, (n, t, _, passes, runs) => {
    const row = (n * length + t) * width;
    for (let d = 0; d < width; d++) {
      const factor = passes ? a!.values[shared ? n * length + t : row + d] : 0;
      if (runs) final.values[n * width + d] = factor * final.values[n * width + d] + b!.values[row + d];
      y.values[row + d] = final.values[n * width + d];
    }
  });
  return [y, final];
};

export const scanGradLoops: Loops<ScanGradInput, ScanAttrs> = ({ a, y, h0, lengths, documentIds, dy, dfinal }, { reverse }) => {
  const [, length, width] = y!.shape;
  const shared = a!.shape.length === 2;
  const db = hostOutput(y!.shape);
  const da = hostOutput(a!.shape);
  // Holds a_{t+1} g_{t+1} on the way back, and so dh0 at the end.
  const carry = { shape: dfinal!.shape, values: Float32Array.from(dfinal!.values) };
  eachStep(
    y!.shape,
    { lengths, documentIds },
    reverse,
    (n, t, previous, passes, runs) => {
      const row = (n * length + t) * width;
      for (let d = 0; d < width; d++) {
        const at = shared ? n * length + t : row + d;
        const g = carry.values[n * width + d] + dy!.values[row + d];
        carry.values[n * width + d] = g;
        if (!runs) continue;
        db.values[row + d] = g;
        const before = previous >= 0 ? y!.values[(n * length + previous) * width + d] : h0 ? h0.values[n * width + d] : 0;
        if (passes) da.values[at] += g * before;
        carry.values[n * width + d] = passes ? g * a!.values[at] : 0;
      }
    },
    true,
  );
  return [db, da, carry];
};
