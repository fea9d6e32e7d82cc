import type { Operand } from './types.js';
import type { Tile } from './tile.js';

/** How one factor gets into workgroup memory. */
export interface Staging {
  /** Name of the workgroup array of `bk * groups` vectors, k-major. */
  into: string;
  /** Statement that puts a vec4f at a vector's place. */
  put(into: string, at: string, value: string): string;
  /** Vectors of four outer positions in a tile. */
  groups: number;
  /** First of the four positions of group `q`, or position `i` of them alone, kept inside the sizes. */
  vector(q: string): string;
  element(q: string, i: number): string;
}

/** WGSL that loads one tile of a factor at `k0`; k beyond `kEnd` becomes 0. */
export function stageText(operand: Operand, { into, groups, put: putInto, vector, element }: Staging, tile: Tile): string {
  const threads = tile.tx * tile.ty;
  const put = (at: string, value: string) => putInto(into, at, value);
  const zeroed = (value: string) => `select(vec4f(), ${value}, ok)`;
  const transposed = operand.along === 'k' && operand.width === 4;
  const items = transposed ? (tile.bk / 4) * groups : tile.bk * groups;
  let body: string;
  if (transposed) {
    // Four rows of four k, turned in registers: writing single components of a shared vec4 would race.
    const rows = [0, 1, 2, 3].map((i) => `let r${i} = ${zeroed(operand.load(element('q', i), 'kc'))};`);
    const turned = ['x', 'y', 'z', 'w'].map((c, j) => put(`(kq * 4u + ${j}u) * ${groups}u + q`, `vec4f(r0.${c}, r1.${c}, r2.${c}, r3.${c})`));
    body = `let kq = i % ${tile.bk / 4}u; let q = i / ${tile.bk / 4}u; let kk = k0 + kq * 4u; let ok = kk < kEnd; let kc = min(kk, u.K - 4u);
      ${rows.join(' ')}
      ${turned.join(' ')}`;
  } else if (operand.width === 4) {
    body = `let q = i % ${groups}u; let kk = k0 + i / ${groups}u; let ok = kk < kEnd; let kc = min(kk, u.K - 1u);
      ${put('i', zeroed(operand.load(vector('q'), 'kc')))}`;
  } else {
    const [q, k] = operand.along === 'k' ? [`i / ${tile.bk}u`, `i % ${tile.bk}u`] : [`i % ${groups}u`, `i / ${groups}u`];
    const values = [0, 1, 2, 3].map((i) => operand.load(element('q', i), 'kc'));
    body = `let q = ${q}; let kl = ${k}; let ok = k0 + kl < kEnd; let kc = min(k0 + kl, u.K - 1u);
      ${put(`kl * ${groups}u + q`, zeroed(`vec4f(${values.join(', ')})`))}`;
  }
  const rounds = Math.ceil(items / threads);
  return Array.from({ length: rounds }, (_, r) => {
    const inside = (r + 1) * threads <= items ? '' : `if (t + ${r * threads}u < ${items}u) `;
    return `    ${inside}{ let i = t + ${r * threads}u; ${body} }`;
  }).join('\n');
}
