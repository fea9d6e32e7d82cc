import { expect, it } from 'vitest';
import { cosine, linearWarmup, wsd } from './schedules.js';

const all = (f: (step: number) => number, steps: number) => Array.from({ length: steps }, (_, i) => f(i));

it('wsd: 10 % warm-up, constant, last 20 % down by 1 − √progress', () => {
  const rates = all(wsd({ peak: 2, steps: 20 }), 20);
  expect(rates.slice(0, 3)).toEqual([1, 2, 2]);
  expect(rates.slice(2, 16).every((r) => r === 2)).toBe(true);
  rates.slice(16).forEach((r, i) => expect(r).toBeCloseTo(2 * (1 - Math.sqrt((i + 1) / 5)), 12));
  expect(rates[19]).toBeGreaterThan(0);
});

it('wsd: linear and cosine decay to a floor', () => {
  const linear = all(wsd({ peak: 1, steps: 10, warmup: 0, decay: 0.4, shape: 'linear', final: 0.5 }), 10);
  [0.9, 0.8, 0.7, 0.6].forEach((want, i) => expect(linear[6 + i]).toBeCloseTo(want, 12));
  const half = all(wsd({ peak: 1, steps: 10, warmup: 0, decay: 0.3, shape: 'cosine' }), 10);
  expect(half[8]).toBeCloseTo(0.5, 12);
  expect(half[6]).toBe(1);
});

it('cosine and linearWarmup', () => {
  const rates = all(cosine({ peak: 1, steps: 100, final: 0.1 }), 100);
  expect(rates[9]).toBe(1);
  expect(rates.slice(10).every((r, i, a) => i === 0 || r < a[i - 1]!)).toBe(true);
  expect(rates[99]).toBeGreaterThan(0.1);
  expect(rates[99]).toBeLessThan(0.11);
  expect(all(linearWarmup({ peak: 1, warmupSteps: 4 }), 6)).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
  expect(linearWarmup({ peak: 1, warmupSteps: 0 })(0)).toBe(1);
});

it('a run of one step still learns', () => {
  for (const f of [wsd({ peak: 1, steps: 1 }), cosine({ peak: 1, steps: 1 })]) expect(f(0)).toBeGreaterThan(0);
});

it('refuses contradictions', () => {
  expect(() => wsd({ peak: -1, steps: 1.5, warmup: 2 })).toThrow(/peak: expected a positive rate, got -1; steps: expected a whole number, got 1.5; warmup: expected a share/);
  expect(() => wsd({ peak: 1, steps: 10, warmup: 0.6, decay: 0.5 })).toThrow(/expected warmup \+ decay ≤ 1/);
  expect(() => wsd({ peak: 1, steps: 10, shape: 'constructor' as never })).toThrow(/shape: expected sqrt, linear or cosine/);
});
