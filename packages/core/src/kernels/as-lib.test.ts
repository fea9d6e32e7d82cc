import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { hasRelaxedSimd, requestRelaxedSimd } from '../op/relaxed-simd.js';
import { leafProblems } from '../../../../tools/leaf-problems.mjs';

/** The AssemblyScript library without tfjs: compiled here with a thin entry, run on a memory of its own. */
const ENTRY = `
import { gemm as g, GEMM_SCRATCH_BYTES } from './lib/gemm';
import { gemvRows as gr, gemvT as gt } from './lib/gemv';
import { project as pr, projectBf16 as pb, projectScratch as ps } from './lib/project';
import { axpy as ax, dot as d, exp4, log4, sigmoid4, silu4, softplus4, exp1, log1, sigmoid1, silu1, softplus1 } from './lib/vec';
export function scratchBytes(): i32 { return GEMM_SCRATCH_BYTES; }
export function gemm(M: i32, N: i32, K: i32, a: usize, ars: i32, acs: i32, b: usize, brs: i32, bcs: i32, c: usize, crs: i32, s: usize, add: bool): void {
  g(M, N, K, a, ars, acs, b, brs, bcs, c, crs, s, add);
}
export function gemvRows(r: i32, o: i32, i: i32, w: usize, wrs: i32, x: usize, xrs: i32, bias: usize, y: usize, yrs: i32, add: bool): void {
  gr(r, o, i, w, wrs, x, xrs, bias, y, yrs, add);
}
export function gemvT(o: i32, i: i32, w: usize, wrs: i32, x: usize, y: usize, add: bool): void { gt(o, i, w, wrs, x, y, add); }
export function projectScratch(rows: i32): i32 { return ps(rows); }
export function project(r: i32, o: i32, i: i32, x: usize, w: usize, bias: usize, y: usize, stride: i32, s: usize): void { pr(r, o, i, x, w, bias, y, stride, s); }
export function projectBf16(r: i32, o: i32, i: i32, x: usize, w: usize, bias: usize, y: usize, stride: i32, s: usize, room: i32): void {
  pb(r, o, i, x, w, bias, y, stride, s, room);
}
export function dot(n: i32, x: usize, y: usize): f32 { return d(n, x, y); }
export function axpy(n: i32, a: f32, x: usize, y: usize): void { ax(n, a, x, y); }
export function map4(f: i32, n: i32, x: usize, y: usize): void {
  for (let p: usize = 0; p < <usize>n << 2; p += 16) {
    const v = v128.load(x + p);
    v128.store(y + p, f == 0 ? exp4(v) : f == 1 ? log4(v) : f == 2 ? sigmoid4(v) : f == 3 ? silu4(v) : softplus4(v));
  }
}
export function map1(f: i32, n: i32, x: usize, y: usize): void {
  for (let p: usize = 0; p < <usize>n << 2; p += 4) {
    const v = load<f32>(x + p);
    store<f32>(y + p, f == 0 ? exp1(v) : f == 1 ? log1(v) : f == 2 ? sigmoid1(v) : f == 3 ? silu1(v) : softplus1(v));
  }
}`;

const asFolder = fileURLToPath(new URL('../../as', import.meta.url));

async function compile(flags: string[]): Promise<Uint8Array<ArrayBuffer>> {
  const { main } = (await import('assemblyscript/asc')).default;
  let binary: Uint8Array | undefined;
  const { error, stderr } = await main(
    ['entry.ts', '-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--noExportMemory', '--enable', 'simd', ...flags, '-o', 'out.wasm', '--baseDir', asFolder],
    {
      readFile: (f: string, base: string) => (f === 'entry.ts' ? ENTRY : existsSync(join(base, f)) ? readFileSync(join(base, f), 'utf8') : null),
      writeFile: (f: string, data: string | Uint8Array) => {
        if (f.endsWith('.wasm')) binary = data as Uint8Array;
      },
      listFiles: (dir: string, base: string) => (existsSync(join(base, dir)) ? readdirSync(join(base, dir)) : []),
    },
  );
  if (error) throw new Error(`${error.message}\n${String(stderr)}`);
  return new Uint8Array(binary!);
}

const GUARD = 1234.5;

/** A bump allocator; every block is followed by a guard word. Odd offsets: tfjs promises 8 bytes, not 16. */
class Heap {
  readonly memory = new WebAssembly.Memory({ initial: 64 });
  private top = 1032;
  private readonly guards: number[] = [];

  alloc(values: number | ArrayLike<number>): number {
    const n = typeof values === 'number' ? values : values.length;
    const p = this.top;
    this.view(p, n).fill(NaN);
    if (typeof values !== 'number') this.view(p, n).set(values);
    this.view(p + 4 * n, 1)[0] = GUARD;
    this.guards.push(p + 4 * n);
    this.top = (p + 4 * n + 4 + 7) & ~7;
    return p;
  }

  view = (p: number, n: number) => new Float32Array(this.memory.buffer, p, n);

  /** Checks all guards and frees everything. */
  check(): void {
    for (const g of this.guards.splice(0)) expect(this.view(g, 1)[0]).toBe(GUARD);
    this.top = 1032;
  }
}

const heap = new Heap();
let state = 1;
const random = (n: number) => Float32Array.from({ length: n }, () => ((state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 31) - 1);

requestRelaxedSimd();
/** The build for engines with a fused multiply-add is made of the same source. */
const builds = [
  { build: 'plain', flags: [] },
  { build: 'relaxed SIMD', flags: ['--enable', 'relaxed-simd'] },
];

describe.each(builds)('$build build', ({ build, flags }) => {
  const isMissing = build !== 'plain' && !hasRelaxedSimd();
  let lib: Record<string, (...args: number[]) => number>;
  beforeAll(async () => {
    if (isMissing) return;
    const bytes = await compile(flags);
    expect(leafProblems(bytes)).toEqual([]);
    lib = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory: heap.memory } }).exports as typeof lib;
  });

  describe.skipIf(isMissing)('gemm', () => {
    const shapes = [[1, 1, 1], [4, 8, 16], [5, 9, 3], [3, 7, 0], [63, 65, 64], [97, 31, 257], [2, 530, 6]];
    const layouts = [[false, false], [false, true], [true, false], [true, true]] as const;
    it.each(shapes)('%d x %d x %d in every layout, new and accumulated', (M, N, K) => {
      for (const [ta, tb] of layouts) {
        for (const add of [0, 1]) {
          // Rows of C lie further apart than they are long; what is between must stay.
          const crs = N + 3;
          const [A, B, C] = [random(M * K), random(K * N), random(M * crs)];
          const [scratch, a, b] = [heap.alloc(lib.scratchBytes() / 4), heap.alloc(A), heap.alloc(B)];
          const c = heap.alloc(C);
          if (!add) for (let i = 0; i < M; i++) heap.view(c + 4 * i * crs, N).fill(NaN);
          lib.gemm(M, N, K, a, ta ? 1 : K, ta ? M : 1, b, tb ? 1 : N, tb ? K : 1, c, crs, scratch, add);
          const out = heap.view(c, M * crs);
          let worst = 0;
          for (let i = 0; i < M; i++) {
            for (let j = 0; j < crs; j++) {
              let sum = add || j >= N ? C[i * crs + j] : 0;
              if (j < N) for (let k = 0; k < K; k++) sum += A[ta ? k * M + i : i * K + k] * B[tb ? j * K + k : k * N + j];
              const error = Math.abs(out[i * crs + j] - sum);
              if (!(error <= worst)) worst = error;
            }
          }
          expect(worst).toBeLessThanOrEqual(1e-5 * Math.sqrt(K + 1));
          heap.check();
        }
      }
    });
  });

  describe.skipIf(isMissing)('gemv', () => {
    it.each([[1, 1, 1], [1, 5, 13], [3, 66, 64], [2, 64, 0], [4, 7, 31]])('%d rows, %d x %d', (rows, outs, ins) => {
      for (const add of [0, 1]) {
        const [W, X, bias, Y] = [random(outs * ins), random(rows * ins), random(outs), random(rows * outs)];
        const [w, x, b] = [heap.alloc(W), heap.alloc(X), heap.alloc(bias)];
        const start = () => heap.alloc(add ? Y : rows * outs);
        const [plain, biased, transposed] = [start(), start(), start()];
        const turned = heap.alloc(Float32Array.from(W, (_, i) => W[(i % outs) * ins + Math.floor(i / outs)]));
        lib.gemvRows(rows, outs, ins, w, ins, x, ins, 0, plain, outs, add);
        lib.gemvRows(rows, outs, ins, w, ins, x, ins, b, biased, outs, add);
        for (let r = 0; r < rows; r++) lib.gemvT(outs, ins, turned, outs, x + 4 * r * ins, transposed + 4 * r * outs, add);
        for (let r = 0; r < rows; r++) {
          for (let o = 0; o < outs; o++) {
            let sum = add ? Y[r * outs + o] : 0;
            for (let k = 0; k < ins; k++) sum += W[o * ins + k] * X[r * ins + k];
            const at = 4 * (r * outs + o);
            expect(heap.view(plain + at, 1)[0]).toBeCloseTo(sum, 4);
            expect(heap.view(transposed + at, 1)[0]).toBeCloseTo(sum, 4);
            expect(heap.view(biased + at, 1)[0]).toBeCloseTo(sum + bias[o], 4);
          }
        }
        heap.check();
      }
    });

    it.each([[1, 5, 14], [6, 66, 64], [7, 9, 22], [8, 67, 300]])('projects %d rows, %d x %d, with and without bias, packed and not', (rows, outs, ins) => {
      // Rows of y lie further apart than they are long; what is between must stay. The weight is exact in bf16.
      const stride = outs + 3;
      const W = new Float32Array(Uint32Array.from(new Uint32Array(random(outs * ins).buffer), (b) => b & 0xffff0000).buffer);
      const [X, bias] = [random(rows * ins), random(outs)];
      const halves = new Uint16Array(W.buffer).filter((_, i) => i % 2 === 1);
      for (const hasBias of [false, true]) {
        const [x, w, b, words] = [heap.alloc(X), heap.alloc(W), heap.alloc(bias), heap.alloc(outs * ins / 2)];
        new Uint16Array(heap.memory.buffer, words, outs * ins).set(halves);
        const [plain, packed] = [heap.alloc(rows * stride), heap.alloc(rows * stride)];
        lib.project(rows, outs, ins, x, w, hasBias ? b : 0, plain, stride, heap.alloc(lib.projectScratch(rows) / 4));
        // Room for two rows and a half: more come in several rounds.
        const room = Math.floor(2.5 * ins);
        lib.projectBf16(rows, outs, ins, x, words, hasBias ? b : 0, packed, stride, heap.alloc(room), room);
        for (const y of [plain, packed]) {
          const out = heap.view(y, rows * stride);
          for (let r = 0; r < rows; r++) {
            for (let o = 0; o < outs; o++) {
              let sum = hasBias ? bias[o] : 0;
              for (let k = 0; k < ins; k++) sum += W[o * ins + k] * X[r * ins + k];
              expect(out[r * stride + o]).toBeCloseTo(sum, 4);
            }
            expect([...out.subarray(r * stride + outs, (r + 1) * stride)]).toEqual([NaN, NaN, NaN]);
          }
        }
        heap.check();
      }
    });

    it.each([0, 1, 3, 8, 63])('dot and axpy of %d values', (n) => {
      const [X, Y] = [random(n), random(n)];
      const [x, y] = [heap.alloc(X), heap.alloc(Y)];
      expect(lib.dot(n, x, y)).toBeCloseTo(X.reduce((s, v, i) => s + v * Y[i], 0), 4);
      lib.axpy(n, 0.5, x, y);
      heap.view(y, n).forEach((v, i) => expect(v).toBeCloseTo(Y[i] + 0.5 * X[i], 6));
      heap.check();
    });
  });

  describe.skipIf(isMissing)('elementary functions', () => {
    const functions: [string, (x: number) => number, [number, number][]][] = [
      ['exp', Math.exp, [[-87, 88], [-1, 1]]],
      ['log', Math.log, [[1e-30, 1e-3], [0.5, 0.99], [1.01, 2], [1, 1e30]]],
      ['sigmoid', (x) => 1 / (1 + Math.exp(-x)), [[-80, 80]]],
      ['silu', (x) => x / (1 + Math.exp(-x)), [[-80, 80]]],
      ['softplus', (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), [[-80, 80], [-4, 4]]],
    ];
    it.each(functions.map(([name, exact, ranges], index) => ({ name, exact, ranges, index })))('$name to 3e-7, four at a time and one', ({ exact, ranges, index }) => {
      const n = 4000;
      for (const [low, high] of ranges) {
        const X = Float32Array.from({ length: n }, (_, i) => low + ((high - low) * (i + 0.5)) / n);
        const [x, y4, y1] = [heap.alloc(X), heap.alloc(n), heap.alloc(n)];
        lib.map4(index, n, x, y4);
        lib.map1(index, n, x, y1);
        expect(heap.view(y1, n)).toEqual(heap.view(y4, n));
        let worst = 0;
        heap.view(y4, n).forEach((v, i) => (worst = Math.max(worst, Math.abs(v - exact(X[i])) / Math.abs(exact(X[i])) || 0)));
        expect(worst).toBeLessThan(3e-7);
        expect(heap.view(y4, n).every(Number.isFinite)).toBe(true);
        heap.check();
      }
    });

    it('hands NaN on and saturates where float32 ends', () => {
      const [x, y] = [heap.alloc([NaN, -1000, 1000, 0]), heap.alloc(4)];
      const results = functions.map((_, f) => {
        lib.map4(f, 4, x, y);
        return [...heap.view(y, 4)];
      });
      for (const r of results) expect(r[0]).toBeNaN();
      const [exp, , sigmoid, silu, softplus] = results;
      expect(exp[1]).toBe(0);
      expect(exp[2]).toBeGreaterThan(1e38);
      expect(exp[3]).toBe(1);
      expect(sigmoid.slice(2)).toEqual([1, 0.5]);
      expect(sigmoid[1]).toBeLessThan(1e-37);
      expect(Math.abs(silu[1])).toBeLessThan(1e-34);
      expect(silu.slice(2)).toEqual([1000, 0]);
      expect(softplus.slice(1, 3)).toEqual([0, 1000]);
      heap.check();
    });
  });
});
