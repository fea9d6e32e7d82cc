import { addTo, at, multiply, scaleInPlace, scaleRows, sum } from '../../core/as/lib/elementwise';
import { GEMM_SCRATCH_BYTES, gemm } from '../../core/as/lib/gemm';
import { axpy, dot, exp1, sigmoid1 } from '../../core/as/lib/vec';
import { atDouble, logGates, stabilise, weightRow, weightTile } from './lib/weights';

/** Floats of scratch of `cell`. */
export function cellScratch(L: i32, K: i32, V: i32, Q: i32): i32 {
  return (GEMM_SCRATCH_BYTES >> 2) + 4 * L + 2 * Q * Q + 9 * Q + Q * K + K * V + K + 32;
}

/** C = carry C + sum_s w_s k_s v_sᵀ and n alike, from the weights of the chunk's last position. @param scaled q x K floats */
function nextState(q: i32, K: i32, V: i32, k: usize, ks: i32, v: usize, vs: i32, w: usize, carry: f32, C: usize, n: usize, scaled: usize, gs: usize): void {
  scaleRows(q, K, k, ks, w, 0, scaled);
  scaleInPlace(K * V, carry, C);
  scaleInPlace(K, carry, n);
  for (let s = 0; s < q; s++) addTo(K, at(scaled, s * K), n);
  gemm(K, V, q, scaled, 1, K, v, vs, 1, C, V, gs, true);
}

/** Zeros, or what is given. */
function copyOrZero(n: i32, from: usize, to: usize): void {
  if (from) memory.copy(to, from, <usize>n << 2);
  else memory.fill(to, 0, <usize>n << 2);
}

/** to = f from, q rows of `width`, rows of `from` `stride` apart, those of `to` adjacent. */
function copyScaled(q: i32, width: i32, from: usize, stride: i32, f: f32, to: usize): void {
  for (let t = 0; t < q; t++) {
    const row = at(to, t * width);
    memory.copy(row, at(from, t * stride), <usize>width << 2);
    scaleInPlace(width, f, row);
  }
}

/** Scores S = (qs kᵀ) D over q, and the sum of each row (q). */
function scoreTile(q: i32, Q: i32, K: i32, qs: usize, k: usize, ks: i32, D: usize, S: usize, sums: usize, gs: usize): void {
  gemm(q, q, K, qs, K, 1, k, 1, ks, S, Q, gs, false);
  for (let t = 0; t < q; t++) {
    const row = at(S, t * Q);
    multiply(q, row, at(D, t * Q), row);
    store<f32>(at(sums, t), sum(t + 1, row));
  }
}

/**
 * Chunkwise mLSTM: h (B, L, H, V), and the final state (B, H, K, V), (B, H, K), (B, H) where wanted. Inputs as in `mlstm` of TypeScript;
 * 0 = not given.
 */
export function cell(
  q: usize, k: usize, v: usize, input: usize, forget: usize, C0: usize, n0: usize, m0: usize, ids: usize, lengths: usize,
  h: usize, finalC: usize, finalN: usize, finalM: usize,
  batch: i32, L: i32, H: i32, K: i32, V: i32, Q: i32, eps: f32, scratch: usize,
): void {
  const gs = scratch;
  const b64 = scratch + GEMM_SCRATCH_BYTES;
  const u64 = atDouble(b64, L);
  const M = atDouble(u64, L);
  const D = atDouble(M, Q);
  const S = at(D, Q * Q);
  const m = at(S, Q * Q);
  const into = at(m, Q);
  const kept = at(into, Q);
  const high = at(kept, Q);
  const low = at(high, Q);
  const w = at(low, Q);
  const qn = at(w, Q);
  const scaled = at(qn, Q);
  const ownC = at(scaled, Q * K);
  const ownN = at(ownC, K * V);
  const ks = H * K;
  const vs = H * V;
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>K);
  for (let b = 0; b < batch; b++) {
    const real = lengths ? load<i32>(at(lengths, b)) : L;
    const ib = ids ? at(ids, b * L) : 0;
    for (let x = 0; x < H; x++) {
      const row = b * H + x;
      const gate = b * L * H + x;
      logGates(L, Q, real, at(input, gate), at(forget, gate), H, ib, b64, u64);
      const C = finalC ? at(finalC, row * K * V) : ownC;
      const n = finalC ? at(finalN, row * K) : ownN;
      copyOrZero(K * V, C0 ? at(C0, row * K * V) : 0, C);
      copyOrZero(K, C0 ? at(n0, row * K) : 0, n);
      let entry: f32 = m0 ? load<f32>(at(m0, row)) : 0;
      let before = 0;
      for (let t0 = 0; t0 < L; t0 += Q) {
        const size = min(Q, L - t0);
        const idc = ib ? at(ib, t0) : 0;
        const kc = at(k, gate * K + t0 * ks);
        const vc = at(v, gate * V + t0 * vs);
        const hc = at(h, gate * V + t0 * vs);
        stabilise(size, atDouble(b64, t0), atDouble(u64, t0), idc, before, entry, M, m, into, kept, high, low);
        weightTile(size, Q, idc, M, high, low, D);
        memory.copy(w, at(D, (size - 1) * Q), <usize>size << 2);
        copyScaled(size, K, at(q, gate * K + t0 * ks), ks, scale, scaled);
        scoreTile(size, Q, K, scaled, kc, ks, D, S, qn, gs);
        gemm(size, V, size, S, Q, 1, vc, vs, 1, hc, vs, gs, false);
        if (t0 > 0 || C0) {
          scaleRows(size, K, scaled, K, into, 0, scaled);
          for (let t = 0; t < size; t++) store<f32>(at(qn, t), load<f32>(at(qn, t)) + dot(K, at(scaled, t * K), n));
          gemm(size, V, K, scaled, K, 1, C, V, 1, hc, vs, gs, true);
        }
        for (let t = 0; t < size; t++) {
          const den: f32 = max(abs(load<f32>(at(qn, t))), exp1(-load<f32>(at(m, t)))) + eps;
          scaleInPlace(V, <f32>1 / den, at(hc, t * vs));
        }
        if (finalC || t0 + size < L) nextState(size, K, V, kc, ks, vc, vs, w, load<f32>(at(into, size - 1)), C, n, scaled, gs);
        entry = load<f32>(at(m, size - 1));
        if (ib) before = load<i32>(at(ib, t0 + size - 1));
      }
      if (finalC) store<f32>(at(finalM, row), entry);
    }
  }
}

/** One row of pairs: u + dqn is the gradient of each; u becomes that times the weight (in d), d that times the score (in s). */
function pairGradients(n: i32, dqn: f32, s: usize, u: usize, d: usize): void {
  const r4 = f32x4.splat(dqn);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const value = f32x4.add(v128.load(at(u, i)), r4);
    v128.store(at(u, i), f32x4.mul(value, v128.load(at(d, i))));
    v128.store(at(d, i), f32x4.mul(value, v128.load(at(s, i))));
  }
  for (; i < n; i++) {
    const value = load<f32>(at(u, i)) + dqn;
    store<f32>(at(u, i), value * load<f32>(at(d, i)));
    store<f32>(at(d, i), value * load<f32>(at(s, i)));
  }
}

/** Floats of scratch of `cellGrad`. */
export function cellGradScratch(L: i32, K: i32, V: i32, Q: i32): i32 {
  const chunks = (L + Q - 1) / Q;
  return (GEMM_SCRATCH_BYTES >> 2) + 4 * L + 3 * Q * Q + 16 * Q + 3 * Q * K + Q * V + (chunks + 2) * (K * V + K + 1) + 32;
}

/**
 * Gradients of `cell` from h and dh (B, L, H, V) and those of the final state or 0. Weights, scores and states are computed again.
 * dC0, dn0, dm0 are written where C0 is given. @param published denominator and stabiliser are constants
 */
export function cellGrad(
  q: usize, k: usize, v: usize, input: usize, forget: usize, C0: usize, n0: usize, m0: usize, ids: usize, lengths: usize,
  h: usize, dh: usize, dFinalC: usize, dFinalN: usize, dFinalM: usize,
  dq: usize, dk: usize, dv: usize, dInput: usize, dForget: usize, dC0: usize, dn0: usize, dm0: usize,
  batch: i32, L: i32, H: i32, K: i32, V: i32, Q: i32, eps: f32, published: bool, scratch: usize,
): void {
  const KV = K * V;
  const stateSize = KV + K;
  const chunks = (L + Q - 1) / Q;
  const gs = scratch;
  const b64 = scratch + GEMM_SCRATCH_BYTES;
  const u64 = atDouble(b64, L);
  const M = atDouble(u64, L);
  const D = atDouble(M, Q);
  const S = at(D, Q * Q);
  const U = at(S, Q * Q);
  const m = at(U, Q * Q);
  const into = at(m, Q);
  const kept = at(into, Q);
  const high = at(kept, Q);
  const low = at(high, Q);
  const w = at(low, Q);
  const qn = at(w, Q);
  const dqn = at(qn, Q);
  const direct = at(dqn, Q);
  const entered = at(direct, Q);
  const left = at(entered, Q);
  const dLog = at(left, Q);
  const below = at(dLog, Q);
  const columns = at(below, Q);
  const qs = at(columns, Q);
  const scaled = at(qs, Q * K);
  const T = at(scaled, Q * K);
  const dSums = at(T, Q * K);
  const states = at(dSums, Q * V);
  const dC = at(states, (chunks + 1) * stateSize);
  const dn = at(dC, KV);
  const entries = at(dn, K);
  const ks = H * K;
  const vs = H * V;
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>K);
  for (let b = 0; b < batch; b++) {
    const real = lengths ? load<i32>(at(lengths, b)) : L;
    const ib = ids ? at(ids, b * L) : 0;
    for (let x = 0; x < H; x++) {
      const row = b * H + x;
      const gate = b * L * H + x;
      logGates(L, Q, real, at(input, gate), at(forget, gate), H, ib, b64, u64);

      // States entering every chunk, and the final one where its gradient is given.
      copyOrZero(KV, C0 ? at(C0, row * KV) : 0, states);
      copyOrZero(K, C0 ? at(n0, row * K) : 0, at(states, KV));
      store<f32>(entries, m0 ? load<f32>(at(m0, row)) : 0);
      const wanted = dFinalC ? chunks : chunks - 1;
      let before = 0;
      for (let c = 0; c < wanted; c++) {
        const t0 = c * Q;
        const size = min(Q, L - t0);
        const idc = ib ? at(ib, t0) : 0;
        stabilise(size, atDouble(b64, t0), atDouble(u64, t0), idc, before, load<f32>(at(entries, c)), M, m, into, kept, high, low);
        weightRow(size, size - 1, idc, M, high, low, w);
        const next = at(states, (c + 1) * stateSize);
        memory.copy(next, at(states, c * stateSize), <usize>stateSize << 2);
        nextState(size, K, V, at(k, gate * K + t0 * ks), ks, at(v, gate * V + t0 * vs), vs, w, load<f32>(at(into, size - 1)), next, at(next, KV), scaled, gs);
        if (c + 1 < chunks) store<f32>(at(entries, c + 1), load<f32>(at(m, size - 1)));
        if (ib) before = load<i32>(at(ib, t0 + size - 1));
      }

      copyOrZero(KV, dFinalC ? at(dFinalC, row * KV) : 0, dC);
      copyOrZero(K, dFinalC ? at(dFinalN, row * K) : 0, dn);
      // Gradient of the stabiliser; the final state is scaled by e^-m.
      let dm: f32 = 0;
      if (dFinalC && !published) {
        const last = at(states, chunks * stateSize);
        dm = load<f32>(at(dFinalM, row)) - dot(KV, dC, last) - dot(K, dn, at(last, KV));
      }
      for (let c = chunks - 1; c >= 0; c--) {
        const t0 = c * Q;
        const size = min(Q, L - t0);
        const idc = ib ? at(ib, t0) : 0;
        const idBefore = ib && c > 0 ? load<i32>(at(ib, t0 - 1)) : 0;
        const qk = gate * K + t0 * ks;
        const vh = gate * V + t0 * vs;
        const kc = at(k, qk);
        const vc = at(v, vh);
        const C = at(states, c * stateSize);
        const n = at(C, KV);
        const enters = c > 0 || C0 != 0;
        const leaves = c + 1 < chunks || dFinalC != 0;
        stabilise(size, atDouble(b64, t0), atDouble(u64, t0), idc, idBefore, load<f32>(at(entries, c)), M, m, into, kept, high, low);
        weightTile(size, Q, idc, M, high, low, D);
        memory.copy(w, at(D, (size - 1) * Q), <usize>size << 2);
        const carry = load<f32>(at(into, size - 1));
        copyScaled(size, K, at(q, qk), ks, scale, qs);
        scoreTile(size, Q, K, qs, kc, ks, D, S, qn, gs);

        // Through the denominator.
        for (let t = 0; t < size; t++) {
          let r = load<f32>(at(qn, t));
          if (enters) r += load<f32>(at(into, t)) * dot(K, at(qs, t * K), n);
          const floor = exp1(-load<f32>(at(m, t)));
          const den: f32 = max(abs(r), floor) + eps;
          const dht = at(dh, vh + t * vs);
          const pull: f32 = published ? 0 : dot(V, dht, at(h, vh + t * vs)) / den;
          store<f32>(at(dqn, t), abs(r) > floor ? (r > 0 ? -pull : pull) : 0);
          store<f32>(at(direct, t), -eps * pull);
          memory.copy(at(dSums, t * V), dht, <usize>V << 2);
          scaleInPlace(V, <f32>1 / den, at(dSums, t * V));
        }

        // Pairs within the chunk. U becomes the gradient of q.k, D the gradient of each pair's log weight.
        gemm(size, size, V, dSums, V, 1, vc, 1, vs, U, Q, gs, false);
        memory.fill(columns, 0, <usize>size << 2);
        for (let t = 0; t < size; t++) {
          pairGradients(size, load<f32>(at(dqn, t)), at(S, t * Q), at(U, t * Q), at(D, t * Q));
          addTo(t + 1, at(D, t * Q), columns);
        }
        gemm(size, V, size, S, 1, Q, dSums, V, 1, at(dv, vh), vs, gs, false);
        gemm(size, K, size, U, Q, 1, kc, ks, 1, at(dq, qk), ks, gs, false);
        gemm(size, K, size, U, 1, Q, qs, K, 1, at(dk, qk), ks, gs, false);

        // Through the state that leaves.
        memory.fill(left, 0, <usize>size << 2);
        if (leaves) {
          gemm(size, K, V, vc, vs, 1, dC, 1, V, T, K, gs, false);
          for (let s = 0; s < size; s++) {
            const ws = load<f32>(at(w, s));
            const Ts = at(T, s * K);
            addTo(K, dn, Ts);
            store<f32>(at(left, s), ws * dot(K, at(kc, s * ks), Ts));
            axpy(K, ws, Ts, at(dk, qk + s * ks));
          }
          scaleRows(size, K, kc, ks, w, 0, scaled);
          gemm(size, V, K, scaled, K, 1, dC, V, 1, at(dv, vh), vs, gs, true);
        }

        // Through the state that enters.
        memory.fill(entered, 0, <usize>size << 2);
        let across: f32 = 0;
        if (enters) {
          across = carry * (dot(KV, dC, C) + dot(K, dn, n));
          gemm(size, K, V, dSums, V, 1, C, 1, V, T, K, gs, false);
          scaleRows(size, K, qs, K, into, 0, scaled);
          scaleInPlace(KV, carry, dC);
          scaleInPlace(K, carry, dn);
          for (let t = 0; t < size; t++) {
            const Tt = at(T, t * K);
            const dr = load<f32>(at(dqn, t));
            axpy(K, dr, n, Tt);
            store<f32>(at(entered, t), dot(K, at(scaled, t * K), Tt));
            axpy(K, load<f32>(at(into, t)), Tt, at(dq, qk + t * ks));
            axpy(K, dr, at(scaled, t * K), dn);
          }
          gemm(K, V, size, scaled, 1, K, dSums, V, 1, dC, V, gs, true);
        }
        for (let t = 0; t < size; t++) scaleInPlace(K, scale, at(dq, qk + t * ks));

        // Log forget gates: pairs s < i <= t, what entered from i on, what left before i, what passed through.
        memory.fill(below, 0, <usize>size << 2);
        let later: f32 = across;
        for (let i = size - 1; i >= 0; i--) {
          addTo(i + 1, at(D, i * Q), below);
          later += load<f32>(at(entered, i));
          store<f32>(at(dLog, i), sum(i, below) + later);
        }
        let earlier: f32 = 0;
        for (let i = 0; i < size; i++) {
          store<f32>(at(dLog, i), load<f32>(at(dLog, i)) + earlier);
          earlier += load<f32>(at(left, i));
        }

        // The stabiliser's gradient goes to the gate that made the maximum, or on to the position before.
        for (let t = size - 1; t >= 0; t--) {
          const g = at(dForget, gate + (t0 + t) * H) - dForget;
          let dIn = load<f32>(at(columns, t)) + load<f32>(at(left, t));
          let dLf = load<f32>(at(dLog, t));
          dm += load<f32>(at(direct, t));
          const isKept = load<f32>(at(kept, t)) != 0;
          if (isKept) dLf += dm;
          else dIn += dm;
          const isReal = t0 + t < real;
          store<f32>(dInput + g, isReal ? dIn : 0);
          store<f32>(dForget + g, isReal ? dLf * sigmoid1(-load<f32>(forget + g)) : 0);
          const starts = ib != 0 && load<i32>(at(idc, t)) != (t > 0 ? load<i32>(at(idc, t - 1)) : idBefore);
          if (!isKept || starts) dm = 0;
        }
      }
      if (dC0) {
        memory.copy(at(dC0, row * KV), dC, <usize>KV << 2);
        memory.copy(at(dn0, row * K), dn, <usize>K << 2);
        store<f32>(at(dm0, row), published ? 0 : dm + dot(KV, dC, states) + dot(K, dn, at(states, KV)));
      }
    }
  }
}
