import { describe, expect, it } from 'vitest';
import { Rng } from './rng.js';

const draw = (rng: Rng, n = 5) => Array.from({ length: n }, () => rng.next());

describe('Rng', () => {
  it('depends on the seed only', () => {
    expect(draw(new Rng(7))).toEqual(draw(new Rng(7)));
    expect(draw(new Rng(7))).not.toEqual(draw(new Rng(8)));
  });

  it('forks by label, independent of what was drawn before', () => {
    const a = new Rng(7);
    draw(a);
    expect(draw(a.fork('x'))).toEqual(draw(new Rng(7).fork('x')));
    expect(draw(a.fork('x'))).not.toEqual(draw(a.fork('y')));
  });

  it('forks of forks differ by the whole path', () => {
    expect(draw(new Rng(7).fork('a').fork('w'))).not.toEqual(draw(new Rng(7).fork('b').fork('w')));
  });

  it('takes up a stored position', () => {
    const a = new Rng(1);
    a.nextNormal();
    const state = JSON.parse(JSON.stringify(a.state));
    const want = [a.nextNormal(), a.next(), a.nextNormal()];
    const b = new Rng(99);
    b.state = state;
    expect([b.nextNormal(), b.next(), b.nextNormal()]).toEqual(want);
  });

  it('is uniform and normal to the accuracy of its sample', () => {
    const rng = new Rng(3);
    const n = 20_000;
    const u = draw(rng, n);
    expect(u.every((x) => x >= 0 && x < 1)).toBe(true);
    expect(u.reduce((a, b) => a + b) / n).toBeCloseTo(0.5, 1);
    const z = Array.from({ length: n }, () => rng.nextNormal());
    expect(z.reduce((a, b) => a + b) / n).toBeCloseTo(0, 1);
    expect(z.reduce((a, b) => a + b * b, 0) / n).toBeCloseTo(1, 1);
  });
});
