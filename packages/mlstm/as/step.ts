import { at } from '../../core/as/lib/elementwise';
import { lineAt, lines } from '../../core/as/lib/lines';
import { project, projectScratch } from '../../core/as/lib/project';
import { copyRow } from '../../core/as/lib/rows';
import { exp1, softplus1 } from '../../core/as/lib/vec';
import { rmsNorm } from '../../core/as/norm';
import { swiglu } from '../../core/as/swiglu';
import { headNorm } from './head-norm';

/** Floats of scratch of `step` for R rows, without the row list. @param qk, v widths over all heads */
export function stepScratch(R: i32, D: i32, H: i32, qk: i32, v: i32, F: i32): i32 {
  return (projectScratch(R) >> 2) + R * (D + max(2 * qk + 3 * v + 2 * H, 2 * F)) + 9 * 16;
}

/** cap tanh(x / cap); x itself for cap = 0. */
function capped(x: f32, cap: f32): f32 {
  if (cap == 0) return x;
  return cap * (<f32>1 - <f32>2 / (<f32>1 + exp1(<f32>2 * (x / cap))));
}

/**
 * One head: C = keep C + enter k vᵀ, n alike, and h = Cᵀq / den in the same pass over C (K, V).
 * @param m one float, moved on, too
 */
function cellStep(K: i32, V: i32, q: usize, k: usize, v: usize, input: f32, forget: f32, eps: f32, C: usize, n: usize, m: usize, h: usize): void {
  const kept: f32 = load<f32>(m) - softplus1(-forget);
  const next = max(kept, input);
  const keep = exp1(kept - next);
  const enter = exp1(input - next);
  store<f32>(m, next);
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>K);
  const keep4 = f32x4.splat(keep);
  const body = <usize>(V & ~3) << 2;
  const end = <usize>V << 2;
  memory.fill(h, 0, end);
  let qn: f32 = 0;
  let x = 0;
  // Two rows at a time: h is read and written half as often.
  for (; x + 2 <= K; x += 2) {
    const u0: f32 = enter * load<f32>(at(k, x)), u1: f32 = enter * load<f32>(at(k, x + 1));
    const q0: f32 = scale * load<f32>(at(q, x)), q1: f32 = scale * load<f32>(at(q, x + 1));
    const n0: f32 = keep * load<f32>(at(n, x)) + u0, n1: f32 = keep * load<f32>(at(n, x + 1)) + u1;
    store<f32>(at(n, x), n0);
    store<f32>(at(n, x + 1), n1);
    qn += q0 * n0 + q1 * n1;
    const u04 = f32x4.splat(u0), u14 = f32x4.splat(u1), q04 = f32x4.splat(q0), q14 = f32x4.splat(q1);
    const C1 = C + end;
    let o: usize = 0;
    for (; o < body; o += 16) {
      const value = v128.load(v + o);
      const c0 = f32x4.add(f32x4.mul(keep4, v128.load(C + o)), f32x4.mul(u04, value));
      const c1 = f32x4.add(f32x4.mul(keep4, v128.load(C1 + o)), f32x4.mul(u14, value));
      v128.store(C + o, c0);
      v128.store(C1 + o, c1);
      v128.store(h + o, f32x4.add(v128.load(h + o), f32x4.add(f32x4.mul(q04, c0), f32x4.mul(q14, c1))));
    }
    for (; o < end; o += 4) {
      const value = load<f32>(v + o);
      const c0: f32 = keep * load<f32>(C + o) + u0 * value, c1: f32 = keep * load<f32>(C1 + o) + u1 * value;
      store<f32>(C + o, c0);
      store<f32>(C1 + o, c1);
      store<f32>(h + o, load<f32>(h + o) + (q0 * c0 + q1 * c1));
    }
    C += end << 1;
  }
  if (x < K) {
    const u: f32 = enter * load<f32>(at(k, x)), q0: f32 = scale * load<f32>(at(q, x));
    const n0: f32 = keep * load<f32>(at(n, x)) + u;
    store<f32>(at(n, x), n0);
    qn += q0 * n0;
    for (let o: usize = 0; o < end; o += 4) {
      const c: f32 = keep * load<f32>(C + o) + u * load<f32>(v + o);
      store<f32>(C + o, c);
      store<f32>(h + o, load<f32>(h + o) + q0 * c);
    }
  }
  const inverse: f32 = <f32>1 / (max(abs(qn), exp1(-next)) + eps);
  const inverse4 = f32x4.splat(inverse);
  let o: usize = 0;
  for (; o < body; o += 16) v128.store(h + o, f32x4.mul(v128.load(h + o), inverse4));
  for (; o < end; o += 4) store<f32>(h + o, load<f32>(h + o) * inverse);
}

/**
 * One decode step of a block for R rows, in place on its states: add, norm, mLSTM, add, norm, gated MLP.
 *
 * hidden (R, D). With `norm`: sum = hidden (+ residual) is written to `sum` and its norm goes into the layer; without, hidden does, and y is
 * what the layer gives. With `norm2` (and F > 0) sum becomes sum + that, and y is the MLP's output.
 * C (B, H, K, V), n (B, H, K) and m (B, H) hold all rows; `rows` lists the R that take part, 0 = the first R. 0 = not given: residual, norm,
 * sum, norm2 and the MLP. @param cap soft cap of the gates, 0 = none
 */
export function step(
  hidden: usize, residual: usize, norm: usize, sum: usize, y: usize, C: usize, n: usize, m: usize, rows: usize,
  qw: usize, kw: usize, vw: usize, ow: usize, iw: usize, ib: usize, fw: usize, fb: usize, headWeight: usize, outWeight: usize,
  norm2: usize, gateWeight: usize, upWeight: usize, downWeight: usize,
  R: i32, D: i32, H: i32, K: i32, V: i32, F: i32, cap: f32, cellEps: f32, headEps: f32, eps: f32, scratch: usize,
): void {
  const gs = lineAt(scratch);
  const normed = gs + projectScratch(R);
  const q = at(normed, lines(R * D));
  const k = at(q, lines(R * H * K));
  const v = at(k, lines(R * H * K));
  const o = at(v, lines(R * H * V));
  const h = at(o, lines(R * H * V));
  const i = at(h, lines(R * H * V));
  const f = at(i, R * H);
  if (norm) {
    if (!residual) copyRow(R * D, hidden, sum);
    // The inverse root of each row goes where nothing is yet.
    rmsNorm(R, 1, D, eps, hidden, residual, norm, normed, sum, q);
  }
  const x = norm ? normed : hidden;
  project(R, H * K, D, x, qw, 0, q, H * K, gs);
  project(R, H * K, D, x, kw, 0, k, H * K, gs);
  project(R, H * V, D, x, vw, 0, v, H * V, gs);
  project(R, H * V, D, x, ow, 0, o, H * V, gs);
  project(R, H, D, x, iw, ib, i, H, gs);
  project(R, H, D, x, fw, fb, f, H, gs);
  for (let r = 0; r < R; r++) {
    const row = rows ? load<i32>(at(rows, r)) : r;
    for (let head = 0; head < H; head++) {
      const own = r * H + head;
      const kept = row * H + head;
      cellStep(
        K, V, at(q, own * K), at(k, own * K), at(v, own * V), capped(load<f32>(at(i, own)), cap), capped(load<f32>(at(f, own)), cap), cellEps,
        at(C, kept * K * V), at(n, kept * K), at(m, kept), at(h, own * V),
      );
    }
  }
  headNorm(R, H, V, headEps, h, o, headWeight, h);
  project(R, D, H * V, h, outWeight, 0, y, D, gs);
  if (!norm2) return;
  rmsNorm(R, 1, D, eps, y, sum, norm2, normed, sum, q);
  const up = at(q, lines(R * F));
  project(R, F, D, normed, gateWeight, 0, q, F, gs);
  project(R, F, D, normed, upWeight, 0, up, F, gs);
  swiglu(1, R * F, 0, q, up, q);
  project(R, D, F, q, downWeight, 0, y, D, gs);
}
