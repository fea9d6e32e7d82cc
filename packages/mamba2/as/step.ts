import { at } from '../../core/as/lib/elementwise';
import { lineAt, lines } from '../../core/as/lib/lines';
import { project, projectScratch } from '../../core/as/lib/project';
import { copyRow } from '../../core/as/lib/rows';
import { exp1, hsum4, silu1, silu4, softplus1 } from '../../core/as/lib/vec';
import { gatedNorm, rmsNorm } from '../../core/as/norm';

/** Floats of scratch of `step` for R rows, without the row list. */
export function stepScratch(R: i32, D: i32, dInner: i32, projRows: i32, C: i32): i32 {
  return (projectScratch(R) >> 2) + R * (D + dInner + projRows) + C + 5 * 16;
}

/** y = act(bias + taps . [state, x]) and the state moved on by x. weight (C, K), state (K-1, C). */
function convStep(C: i32, K: i32, x: usize, weight: usize, bias: usize, state: usize, y: usize): void {
  const rowBytes = <usize>C << 2;
  let c = 0;
  if (K == 4) {
    const s1 = state + rowBytes;
    const s2 = s1 + rowBytes;
    for (; c + 4 <= C; c += 4) {
      const o = <usize>c << 2;
      // Four channels' taps, turned so that each vector holds one tap of all four.
      const w = at(weight, c << 2);
      const a = v128.load(w), b = v128.load(w, 16), d = v128.load(w, 32), e = v128.load(w, 48);
      const ab02 = v128.shuffle<f32>(a, b, 0, 4, 2, 6), ab13 = v128.shuffle<f32>(a, b, 1, 5, 3, 7);
      const de02 = v128.shuffle<f32>(d, e, 0, 4, 2, 6), de13 = v128.shuffle<f32>(d, e, 1, 5, 3, 7);
      const x0 = v128.load(state + o), x1 = v128.load(s1 + o), x2 = v128.load(s2 + o), x3 = v128.load(x + o);
      let sum = f32x4.mul(v128.shuffle<f32>(ab02, de02, 0, 1, 4, 5), x0);
      sum = f32x4.add(sum, f32x4.mul(v128.shuffle<f32>(ab13, de13, 0, 1, 4, 5), x1));
      sum = f32x4.add(sum, f32x4.mul(v128.shuffle<f32>(ab02, de02, 2, 3, 6, 7), x2));
      sum = f32x4.add(sum, f32x4.mul(v128.shuffle<f32>(ab13, de13, 2, 3, 6, 7), x3));
      if (bias) sum = f32x4.add(sum, v128.load(bias + o));
      v128.store(y + o, silu4(sum));
      v128.store(state + o, x1);
      v128.store(s1 + o, x2);
      v128.store(s2 + o, x3);
    }
  }
  for (; c < C; c++) {
    let sum: f32 = bias ? load<f32>(at(bias, c)) : 0;
    const w = at(weight, c * K);
    for (let k = 0; k < K - 1; k++) {
      const s = at(state, k * C + c);
      const v = load<f32>(s);
      sum += load<f32>(at(w, k)) * v;
      if (k > 0) store<f32>(s - rowBytes, v);
    }
    const v = load<f32>(at(x, c));
    sum += load<f32>(at(w, K - 1)) * v;
    if (K > 1) store<f32>(at(state, (K - 2) * C + c), v);
    store<f32>(at(y, c), silu1(sum));
  }
}

/** One head: S = decay S + delta x B^T and y = S C + skip x, S (P, N). @param skip (P) or one value for all when `skipStride` is 0 */
function scanStep(P: i32, N: i32, x: usize, delta: f32, decay: f32, B: usize, C: usize, skip: usize, skipStride: i32, S: usize, y: usize): void {
  const decay4 = f32x4.splat(decay);
  const body = <usize>(N & ~3) << 2;
  const end = <usize>N << 2;
  for (let p = 0; p < P; p++) {
    const xp = load<f32>(at(x, p));
    const u = delta * xp;
    const u4 = f32x4.splat(u);
    let even = f32x4.splat(0);
    let odd = f32x4.splat(0);
    let o: usize = 0;
    for (; o + 32 <= body; o += 32) {
      const s0 = f32x4.add(f32x4.mul(decay4, v128.load(S + o)), f32x4.mul(u4, v128.load(B + o)));
      const s1 = f32x4.add(f32x4.mul(decay4, v128.load(S + o, 16)), f32x4.mul(u4, v128.load(B + o, 16)));
      v128.store(S + o, s0);
      v128.store(S + o, s1, 16);
      even = f32x4.add(even, f32x4.mul(s0, v128.load(C + o)));
      odd = f32x4.add(odd, f32x4.mul(s1, v128.load(C + o, 16)));
    }
    for (; o < body; o += 16) {
      const s0 = f32x4.add(f32x4.mul(decay4, v128.load(S + o)), f32x4.mul(u4, v128.load(B + o)));
      v128.store(S + o, s0);
      even = f32x4.add(even, f32x4.mul(s0, v128.load(C + o)));
    }
    let sum = hsum4(f32x4.add(even, odd)) + load<f32>(at(skip, p * skipStride)) * xp;
    for (; o < end; o += 4) {
      const s: f32 = decay * load<f32>(S + o) + u * load<f32>(B + o);
      store<f32>(S + o, s);
      sum += s * load<f32>(C + o);
    }
    store<f32>(at(y, p), sum);
    S += end;
  }
}

/** y = silu(gate) x, n floats. */
function gate(n: i32, x: usize, g: usize, y: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(at(y, i), f32x4.mul(silu4(v128.load(at(g, i))), v128.load(at(x, i))));
  for (; i < n; i++) store<f32>(at(y, i), silu1(load<f32>(at(g, i))) * load<f32>(at(x, i)));
}

/**
 * One decode step of a Mamba-2 block for R rows, in place on its states: (add, norm,) in_proj, convolution, scan, gated norm, out_proj.
 *
 * hidden (R, D). With `norm`: sum = hidden (+ residual) is written to `sum` and its norm goes into the mixer; without, hidden does.
 * conv (B, K-1, C) and ssm (B, H, P, N) hold all rows; `rows` lists the R that take part, 0 = the first R.
 * 0 = not given: residual, norm, sum, the biases, gateWeight. @param dMlp width of the gated MLP path beside the scan
 */
export function step(
  hidden: usize, residual: usize, norm: usize, sum: usize, y: usize, conv: usize, ssm: usize, rows: usize,
  inProj: usize, inBias: usize, convWeight: usize, convBias: usize, dtBias: usize, aLog: usize, skip: usize, gateWeight: usize,
  outProj: usize, outBias: usize,
  R: i32, D: i32, dMlp: i32, H: i32, P: i32, G: i32, N: i32, K: i32,
  perChannel: bool, normFirst: bool, low: f32, high: f32, eps: f32, scratch: usize,
): void {
  const dSsm = H * P;
  const dInner = dMlp + dSsm;
  const C = dSsm + 2 * G * N;
  const projRows = 2 * dMlp + dSsm + C + H;
  const gs = lineAt(scratch);
  const normed = gs + projectScratch(R);
  const p = at(normed, lines(R * D));
  const inner = at(p, lines(R * projRows));
  const xBC = at(inner, lines(R * dInner));
  if (norm) {
    if (!residual) copyRow(R * D, hidden, sum);
    // The inverse root of each row goes where nothing is yet.
    rmsNorm(R, 1, D, eps, hidden, residual, norm, normed, sum, inner);
  }
  project(R, projRows, D, norm ? normed : hidden, inProj, inBias, p, projRows, gs);
  for (let r = 0; r < R; r++) {
    const row = rows ? load<i32>(at(rows, r)) : r;
    const pr = at(p, r * projRows);
    const z = at(pr, 2 * dMlp);
    const out = at(inner, r * dInner);
    const yr = at(out, dMlp);
    const dt = at(z, dSsm + C);
    convStep(C, K, at(z, dSsm), convWeight, convBias, at(conv, row * (K - 1) * C), xBC);
    for (let h = 0; h < H; h++) {
      const g = h / (H / G);
      const delta = min(max(softplus1(load<f32>(at(dt, h)) + load<f32>(at(dtBias, h))), low), high);
      const decay = exp1(-delta * exp1(load<f32>(at(aLog, h))));
      const B = at(xBC, dSsm + g * N);
      scanStep(P, N, at(xBC, h * P), delta, decay, B, at(B, G * N), at(skip, perChannel ? h * P : h), perChannel ? 1 : 0, at(ssm, (row * H + h) * P * N), at(yr, h * P));
    }
    if (gateWeight) gatedNorm(1, G, dSsm / G, eps, normFirst, yr, z, gateWeight, yr);
    else gate(dSsm, yr, z, yr);
    if (dMlp) gate(dMlp, at(pr, dMlp), pr, out);
  }
  project(R, D, dInner, inner, outProj, outBias, y, D, gs);
}
