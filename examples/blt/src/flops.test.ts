import { describe, expect, it } from 'vitest';
import { flopsPerByte } from './flops.js';
import { BLT_PRESETS } from './presets.js';

describe('FLOPs per byte', () => {
  // Counted by an independent program from the same rule, for presets of the same sizes.
  it.each([
    ['blt-10M', 0, 512, 8_607_250.963, 1_181_184],
    ['blt-10M', 512, 768, 9_508_655.407, 1_442_816],
    ['blt-40M', 0, 512, 31_489_682.963, 2_263_296],
    ['blt-40M', 512, 768, 33_416_154.074, 2_655_744],
  ])('%s, bytes %i to %i', (name, from, to, model, entropyModel) => {
    const flops = flopsPerByte(BLT_PRESETS[name]!.config, { bytesPerPatch: 4.5, from, to });
    expect(flops.model).toBeCloseTo(model, 2);
    expect(flops.entropyModel).toBe(entropyModel);
  });

  it('the main network costs its share of bytes only', () => {
    const { config } = BLT_PRESETS['blt-40M']!;
    const at = (bytesPerPatch: number) => flopsPerByte(config, { bytesPerPatch }).model;
    expect(at(4) - at(8)).toBeGreaterThan(at(8) - at(16));
  });
});
