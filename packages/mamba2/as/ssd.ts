import { GEMM_SCRATCH_BYTES, gemm } from '../../core/as/lib/gemm';
import { addTo, at, multiply, scaleInPlace, scaleRows, sum } from '../../core/as/lib/elementwise';
import { axpy, dot } from '../../core/as/lib/vec';
import { chunkDecays, decayTile, stepSizes, stepSizeSlope } from './lib/chunk';

/** Floats of scratch of `ssd`. */
export function ssdScratch(L: i32, P: i32, N: i32, Q: i32): i32 {
  return (GEMM_SCRATCH_BYTES >> 2) + L * Q + 2 * L + Q * Q + 2 * Q + Q * N + P * N + 16;
}

/** C_t . B_j of every chunk of one group: chunk c at c*Q*Q, rows Q floats apart. */
function grams(L: i32, N: i32, Q: i32, B: usize, C: usize, stride: i32, to: usize, gs: usize): void {
  for (let t0 = 0; t0 < L; t0 += Q) {
    const q = min(Q, L - t0);
    gemm(q, q, N, at(C, t0 * stride), stride, 1, at(B, t0 * stride), 1, stride, at(to, t0 * Q), Q, gs, false);
  }
}

/** S = carry S + sum_j out_j delta_j x_j B_j^T. @param scaled q x N floats */
// @ts-ignore: decorator
@inline
function nextState(
  q: i32, P: i32, N: i32, x: usize, xs: i32, B: usize, bs: i32, out: usize, delta: usize, carry: f32, S: usize, scaled: usize, gs: usize,
): void {
  scaleRows(q, N, B, bs, out, delta, scaled);
  scaleInPlace(P * N, carry, S);
  gemm(P, N, q, x, 1, xs, scaled, N, 1, S, N, gs, true);
}

/**
 * Chunked scan (mamba2.md section 4), y (B, L, H, P) and final state (B, H, P, N) or 0. Inputs as in `ssd` of TypeScript; 0 = not given.
 * Only causal decays are computed; step sizes go into the decay matrix and D onto its diagonal, so that x is used as it is.
 * @param perChannel D is (H, P)
 */
export function ssd(
  x: usize, dt: usize, A: usize, B: usize, C: usize, D: usize, dtBias: usize, initial: usize, ids: usize, lengths: usize,
  y: usize, final: usize,
  batch: i32, L: i32, H: i32, P: i32, G: i32, N: i32, Q: i32,
  softplus: bool, low: f32, high: f32, perChannel: bool, scratch: usize,
): void {
  const gs = scratch;
  const gram = scratch + GEMM_SCRATCH_BYTES;
  const delta = at(gram, L * Q);
  const s = at(delta, L);
  const E = at(s, L);
  const into = at(E, Q * Q);
  const out = at(into, Q);
  const scaled = at(out, Q);
  const own = at(scaled, Q * N);
  const xs = H * P;
  const bs = G * N;
  const headsPerGroup = H / G;
  const stateBytes = <usize>(P * N) << 2;
  for (let b = 0; b < batch; b++) {
    const real = lengths ? load<i32>(at(lengths, b)) : L;
    const ib = ids ? at(ids, b * L) : 0;
    for (let g = 0; g < G; g++) {
      const Bg = at(B, b * L * bs + g * N);
      const Cg = at(C, b * L * bs + g * N);
      grams(L, N, Q, Bg, Cg, bs, gram, gs);
      for (let h = g * headsPerGroup; h < (g + 1) * headsPerGroup; h++) {
        const xh = at(x, (b * L * H + h) * P);
        const yh = at(y, (b * L * H + h) * P);
        const bias: f32 = dtBias ? load<f32>(at(dtBias, h)) : 0;
        stepSizes(L, Q, real, at(dt, b * L * H + h), H, bias, softplus, low, high, load<f32>(at(A, h)), delta, s);
        const S = final ? at(final, (b * H + h) * P * N) : own;
        if (initial) memory.copy(S, at(initial, (b * H + h) * P * N), stateBytes);
        else memory.fill(S, 0, stateBytes);
        let before = 0;
        for (let t0 = 0; t0 < L; t0 += Q) {
          const q = min(Q, L - t0);
          const idc = ib ? at(ib, t0) : 0;
          const carry = chunkDecays(q, at(s, t0), idc, before, into, out);
          decayTile(q, Q, at(s, t0), idc, E);
          for (let t = 0; t < q; t++) {
            const row = at(E, t * Q);
            multiply(t + 1, row, at(gram, (t0 + t) * Q), row);
            multiply(t + 1, row, at(delta, t0), row);
            if (D && !perChannel) store<f32>(at(row, t), load<f32>(at(row, t)) + load<f32>(at(D, h)));
          }
          const xc = at(xh, t0 * xs);
          const yc = at(yh, t0 * xs);
          gemm(q, P, q, E, Q, 1, xc, xs, 1, yc, xs, gs, false);
          if (t0 > 0 || initial) {
            scaleRows(q, N, at(Cg, t0 * bs), bs, into, 0, scaled);
            gemm(q, P, N, scaled, N, 1, S, 1, N, yc, xs, gs, true);
          }
          if (D && perChannel) {
            for (let t = 0; t < q; t++) {
              for (let p = 0; p < P; p++) {
                const to = at(yc, t * xs + p);
                store<f32>(to, load<f32>(to) + load<f32>(at(D, h * P + p)) * load<f32>(at(xc, t * xs + p)));
              }
            }
          }
          if (final || t0 + q < L) nextState(q, P, N, xc, xs, at(Bg, t0 * bs), bs, out, at(delta, t0), carry, S, scaled, gs);
          if (ib) before = load<i32>(at(ib, t0 + q - 1));
        }
      }
    }
  }
}

/** Floats of scratch of `ssdGrad`. */
export function ssdGradScratch(L: i32, P: i32, N: i32, Q: i32): i32 {
  const chunks = (L + Q - 1) / Q;
  return (GEMM_SCRATCH_BYTES >> 2) + 2 * L * Q + 2 * L + 4 * Q * Q + 6 * Q + 2 * Q * N + Q * P + (chunks + 1) * P * N + 16;
}

/**
 * Gradients of `ssd` (mamba2.md section 5) from dy (B, L, H, P) and dFinal (B, H, P, N) or 0. Everything is computed again from the inputs.
 * dD, dBias and dInitial are written where D, dtBias and initial are given.
 */
export function ssdGrad(
  x: usize, dt: usize, A: usize, B: usize, C: usize, D: usize, dtBias: usize, initial: usize, ids: usize, lengths: usize,
  dy: usize, dFinal: usize,
  dx: usize, dDt: usize, dA: usize, dB: usize, dC: usize, dD: usize, dBias: usize, dInitial: usize,
  batch: i32, L: i32, H: i32, P: i32, G: i32, N: i32, Q: i32,
  softplus: bool, low: f32, high: f32, perChannel: bool, scratch: usize,
): void {
  const PN = P * N;
  const gs = scratch;
  const gram = scratch + GEMM_SCRATCH_BYTES;
  const dGram = at(gram, L * Q);
  const delta = at(dGram, L * Q);
  const s = at(delta, L);
  const E = at(s, L);
  const W = at(E, Q * Q);
  const M = at(W, Q * Q);
  const below = at(M, Q * Q);
  const into = at(below, Q);
  const out = at(into, Q);
  const da = at(out, Q);
  const r = at(da, Q);
  const k = at(r, Q);
  const scaled = at(k, Q);
  const V = at(scaled, Q * N);
  const du = at(V, Q * N);
  const states = at(du, Q * P);
  const dS = at(states, ((L + Q - 1) / Q) * PN);
  const xs = H * P;
  const bs = G * N;
  const headsPerGroup = H / G;
  const stateBytes = <usize>PN << 2;
  memory.fill(dA, 0, <usize>H << 2);
  memory.fill(dB, 0, <usize>(batch * L * bs) << 2);
  memory.fill(dC, 0, <usize>(batch * L * bs) << 2);
  if (dD) memory.fill(dD, 0, <usize>(perChannel ? H * P : H) << 2);
  if (dBias) memory.fill(dBias, 0, <usize>H << 2);
  for (let b = 0; b < batch; b++) {
    const real = lengths ? load<i32>(at(lengths, b)) : L;
    const ib = ids ? at(ids, b * L) : 0;
    for (let g = 0; g < G; g++) {
      const group = b * L * bs + g * N;
      const Bg = at(B, group);
      const Cg = at(C, group);
      grams(L, N, Q, Bg, Cg, bs, gram, gs);
      memory.fill(dGram, 0, <usize>(L * Q) << 2);
      for (let h = g * headsPerGroup; h < (g + 1) * headsPerGroup; h++) {
        const first = (b * L * H + h) * P;
        const Ah = load<f32>(at(A, h));
        const bias: f32 = dtBias ? load<f32>(at(dtBias, h)) : 0;
        stepSizes(L, Q, real, at(dt, b * L * H + h), H, bias, softplus, low, high, Ah, delta, s);

        // States entering every chunk.
        if (initial) memory.copy(states, at(initial, (b * H + h) * PN), stateBytes);
        else memory.fill(states, 0, stateBytes);
        let before = 0;
        for (let t0 = 0, c = 0; t0 + Q < L; t0 += Q, c++) {
          const idc = ib ? at(ib, t0) : 0;
          const carry = chunkDecays(Q, at(s, t0), idc, before, into, out);
          const S = at(states, (c + 1) * PN);
          memory.copy(S, at(states, c * PN), stateBytes);
          nextState(Q, P, N, at(x, first + t0 * xs), xs, at(Bg, t0 * bs), bs, out, at(delta, t0), carry, S, scaled, gs);
          if (ib) before = load<i32>(at(ib, t0 + Q - 1));
        }

        if (dFinal) memory.copy(dS, at(dFinal, (b * H + h) * PN), stateBytes);
        else memory.fill(dS, 0, stateBytes);
        for (let c = (L - 1) / Q; c >= 0; c--) {
          const t0 = c * Q;
          const q = min(Q, L - t0);
          const idc = ib ? at(ib, t0) : 0;
          const d = at(delta, t0);
          const xc = at(x, first + t0 * xs);
          const dyc = at(dy, first + t0 * xs);
          const S = at(states, c * PN);
          const carry = chunkDecays(q, at(s, t0), idc, ib && c > 0 ? load<i32>(at(ib, t0 - 1)) : 0, into, out);
          decayTile(q, Q, at(s, t0), idc, E);

          // Pairs within the chunk: W becomes the gradient of C_t . B_j, M the decay times C_t . B_j.
          gemm(q, q, P, dyc, xs, 1, xc, 1, xs, W, Q, gs, false);
          for (let t = 0; t < q; t++) {
            const o = t * Q;
            const w = at(W, o);
            multiply(t + 1, w, at(E, o), w);
            multiply(t + 1, w, d, w);
            addTo(t + 1, w, at(dGram, t0 * Q + o));
            multiply(q, at(E, o), at(gram, t0 * Q + o), at(M, o));
            multiply(t + 1, w, at(gram, t0 * Q + o), w);
          }
          // W now holds the gradient of each pair's log decay: for every i, the sum over j < i <= t.
          memory.fill(below, 0, <usize>q << 2);
          for (let i = q - 1; i >= 0; i--) {
            addTo(i + 1, at(W, i * Q), below);
            store<f32>(at(da, i), sum(i, below));
          }
          gemm(q, P, q, M, 1, Q, dyc, xs, 1, du, P, gs, false);

          // Through the state that leaves.
          const leaves = dFinal != 0 || t0 + Q < L;
          if (leaves) gemm(q, N, P, xc, xs, 1, dS, N, 1, V, N, gs, false);
          memory.fill(k, 0, <usize>q << 2);
          for (let j = 0; leaves && j < q; j++) {
            const f = load<f32>(at(out, j)) * load<f32>(at(d, j));
            const Bj = at(Bg, (t0 + j) * bs);
            store<f32>(at(k, j), f * dot(N, Bj, at(V, j * N)));
            axpy(N, f, at(V, j * N), at(dB, group + (t0 + j) * bs));
          }
          if (leaves) {
            scaleRows(q, N, at(Bg, t0 * bs), bs, out, 0, scaled);
            gemm(q, P, N, scaled, N, 1, dS, 1, N, du, P, gs, true);
          }

          // Through the state that enters.
          const enters = c > 0 || initial != 0;
          let across: f32 = 0;
          if (enters) {
            gemm(q, N, P, dyc, xs, 1, S, N, 1, V, N, gs, false);
            across = carry * dot(PN, dS, S);
          }
          for (let t = 0; t < q; t++) {
            const f = load<f32>(at(into, t));
            store<f32>(at(r, t), enters ? f * dot(N, at(Cg, (t0 + t) * bs), at(V, t * N)) : 0);
            if (enters) axpy(N, f, at(V, t * N), at(dC, group + (t0 + t) * bs));
          }
          if (enters) {
            scaleRows(q, N, at(Cg, t0 * bs), bs, into, 0, scaled);
            scaleInPlace(PN, carry, dS);
            gemm(P, N, q, dyc, 1, xs, scaled, N, 1, dS, N, gs, true);
          }

          // Per position: r summed from i on, k summed before i.
          let later: f32 = 0;
          for (let i = q - 1; i >= 0; i--) {
            later += load<f32>(at(r, i));
            store<f32>(at(da, i), load<f32>(at(da, i)) + later + across);
          }
          let earlier: f32 = 0;
          let sumA: f32 = 0;
          let sumBias: f32 = 0;
          let sumD: f32 = 0;
          const skip: f32 = D && !perChannel ? load<f32>(at(D, h)) : 0;
          for (let i = 0; i < q; i++) {
            const xi = at(xc, i * xs);
            const dyi = at(dyc, i * xs);
            const dui = at(du, i * P);
            const dxi = at(dx, first + (t0 + i) * xs);
            const di = load<f32>(at(d, i));
            const dai = load<f32>(at(da, i)) + earlier;
            earlier += load<f32>(at(k, i));
            sumA += di * dai;
            const position = (b * L + t0 + i) * H + h;
            let dDelta: f32 = dot(P, xi, dui) + Ah * dai;
            dDelta = t0 + i < real ? dDelta * stepSizeSlope(load<f32>(at(dt, position)), bias, softplus, low, high) : 0;
            store<f32>(at(dDt, position), dDelta);
            sumBias += dDelta;
            memory.fill(dxi, 0, <usize>P << 2);
            axpy(P, di, dui, dxi);
            if (D && !perChannel) {
              axpy(P, skip, dyi, dxi);
              sumD += dot(P, dyi, xi);
            } else if (D) {
              for (let p = 0; p < P; p++) {
                const o = <usize>p << 2;
                store<f32>(dxi + o, load<f32>(dxi + o) + load<f32>(at(D, h * P + p)) * load<f32>(dyi + o));
                const to = at(dD, h * P + p);
                store<f32>(to, load<f32>(to) + load<f32>(dyi + o) * load<f32>(xi + o));
              }
            }
          }
          store<f32>(at(dA, h), load<f32>(at(dA, h)) + sumA);
          if (dBias) store<f32>(at(dBias, h), load<f32>(at(dBias, h)) + sumBias);
          if (D && !perChannel) store<f32>(at(dD, h), load<f32>(at(dD, h)) + sumD);
        }
        if (dInitial) memory.copy(at(dInitial, (b * H + h) * PN), dS, stateBytes);
      }
      // What the heads of the group share.
      for (let t0 = 0; t0 < L; t0 += Q) {
        const q = min(Q, L - t0);
        const dG = at(dGram, t0 * Q);
        gemm(q, N, q, dG, Q, 1, at(Bg, t0 * bs), bs, 1, at(dC, group + t0 * bs), bs, gs, true);
        gemm(q, N, q, dG, 1, Q, at(Cg, t0 * bs), bs, 1, at(dB, group + t0 * bs), bs, gs, true);
      }
    }
  }
}
