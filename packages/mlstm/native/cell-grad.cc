// Gradients of the chunkwise mLSTM (mlstm.md section 4). Weights, scores and states are computed again from the inputs.
#include "weights.h"

using namespace bytelm;
using namespace bytelm::mlstm;

namespace {

struct Grads {
  float *q, *k, *v, *input, *forget, *C, *n, *m;
};

/** Gradients that come from behind: of h, and of the final state or null. */
struct Incoming {
  const float *h, *dh, *dC, *dn, *dm;
  bool isPublished;
};

/** One head of one row. */
void oneHead(const Cell& p, int64_t task, const Incoming& in, const Grads& grads) {
  const int64_t Q = p.chunk, K = p.K, V = p.V, KV = K * V, stateSize = KV + K, chunks = p.chunks(), b = task / p.heads, x = task % p.heads;
  float* memory = scratch(4 * p.length + Weights::floats(Q) + 3 * Q * Q + 10 * Q + 3 * Q * K + Q * V + (chunks + 2) * (stateSize + 1) + 4 * LANES);
  double *b64 = reinterpret_cast<double*>(memory), *u64 = b64 + p.length;
  const Weights weights(memory + 4 * p.length, Q);
  float *D = memory + 4 * p.length + Weights::floats(Q), *S = D + Q * Q, *U = S + Q * Q, *w = U + Q * Q, *qn = w + Q, *dqn = qn + Q, *direct = dqn + Q,
        *entered = direct + Q, *left = entered + Q, *dLog = left + Q, *below = dLog + Q, *columns = below + Q, *qs = columns + 2 * Q, *scaled = qs + Q * K,
        *T = scaled + Q * K, *dSums = T + Q * K, *states = dSums + Q * V, *dState = states + (chunks + 1) * stateSize, *entries = dState + stateSize;
  float *dC = dState, *dn = dState + KV;
  p.logGates(b, x, b64, u64);

  // States entering every chunk, and the final one where its gradient is given.
  initialState(p, task, states);
  entries[0] = p.m ? p.m[task] : 0;
  for (int64_t c = 0; c < (in.dC ? chunks : chunks - 1); c++) {
    const int64_t q = p.positions(c), gate = p.gateAt(b, c, x);
    weights.stabilise(q, b64 + c * Q, u64 + c * Q, p.idsOf(b, c), p.idBefore(b, c), entries[c]);
    weights.row(q, q - 1, p.idsOf(b, c), w);
    copy(stateSize, states + c * stateSize, states + (c + 1) * stateSize);
    nextState(p, q, p.k + gate * K, p.v + gate * V, w, weights.into[q - 1], states + (c + 1) * stateSize, scaled);
    if (c + 1 < chunks) entries[c + 1] = weights.m[q - 1];
  }

  zero(stateSize, dState);
  // Gradient of the stabiliser; the final state is scaled by e^-m.
  float dm = 0;
  if (in.dC) {
    copy(KV, in.dC + task * KV, dC);
    copy(K, in.dn + task * K, dn);
    if (!in.isPublished) dm = in.dm[task] - dot(stateSize, dState, states + chunks * stateSize);
  }
  for (int64_t c = chunks - 1; c >= 0; c--) {
    const int64_t q = p.positions(c), gate = p.gateAt(b, c, x);
    const int32_t *ids = p.idsOf(b, c), before = p.idBefore(b, c);
    const float *k = p.k + gate * K, *v = p.v + gate * V, *dh = in.dh + gate * V, *h = in.h + gate * V, *C = states + c * stateSize, *n = C + KV;
    float *dq = grads.q + gate * K, *dk = grads.k + gate * K, *dv = grads.v + gate * V;
    const bool enters = c > 0 || p.C, leaves = c + 1 < chunks || in.dC;
    weights.stabilise(q, b64 + c * Q, u64 + c * Q, ids, before, entries[c]);
    for (int64_t t = 0; t < q; t++) {
      weights.row(q, t, ids, D + t * Q);
      scaleTo(K, p.scale, p.q + gate * K + t * p.qRow, qs + t * K);
    }
    copy(q, D + (q - 1) * Q, w);
    const float carry = weights.into[q - 1];
    scoreTile(q, Q, K, qs, k, p.qRow, D, S, qn);

    // Through the denominator.
    for (int64_t t = 0; t < q; t++) {
      const float r = qn[t] + (enters ? weights.into[t] * dot(K, qs + t * K, n) : 0);
      const float floor = std::exp(-weights.m[t]), size = std::fabs(r), den = (size > floor ? size : floor) + p.eps;
      const float pull = in.isPublished ? 0 : dot(V, dh + t * p.vRow, h + t * p.vRow) / den;
      dqn[t] = size > floor ? (r > 0 ? -pull : pull) : 0;
      direct[t] = -p.eps * pull;
      scaleTo(V, 1.0f / den, dh + t * p.vRow, dSums + t * V);
    }

    // Pairs within the chunk. U becomes the gradient of q.k, D the gradient of each pair's log weight.
    gemm(q, q, V, {dSums, V, 1}, {v, 1, p.vRow}, U, Q, false);
    zero(q, columns);
    for (int64_t t = 0; t < q; t++) {
      for (int64_t s = 0; s < q; s += LANES) {
        const int64_t i = t * Q + s, rest = q - s;
        const Vec value = load(U + i, rest) + dqn[t], weight = value * load(S + i, rest);
        store(U + i, value * load(D + i, rest), rest);
        store(D + i, weight, rest);
        store(columns + s, load(columns + s, rest) + weight, rest);
      }
    }
    gemm(q, V, q, Matrix{S, Q, 1}.transposed(), {dSums, V, 1}, dv, p.vRow, false);
    gemm(q, K, q, {U, Q, 1}, {k, p.qRow, 1}, dq, p.qRow, false);
    gemm(q, K, q, Matrix{U, Q, 1}.transposed(), {qs, K, 1}, dk, p.qRow, false);

    // Through the state that leaves.
    zero(q, left);
    if (leaves) {
      gemm(q, K, V, {v, p.vRow, 1}, {dC, 1, V}, T, K, false);
      for (int64_t s = 0; s < q; s++) {
        add(K, dn, T + s * K);
        left[s] = w[s] * dot(K, k + s * p.qRow, T + s * K);
        axpy(K, w[s], T + s * K, dk + s * p.qRow);
      }
      scaleRowsTo(q, K, k, p.qRow, w, scaled);
      gemm(q, V, K, {scaled, K, 1}, {dC, V, 1}, dv, p.vRow, true);
    }

    // Through the state that enters.
    zero(q, entered);
    const float across = enters ? carry * dot(stateSize, dState, C) : 0;
    if (enters) {
      gemm(q, K, V, {dSums, V, 1}, {C, 1, V}, T, K, false);
      scaleRowsTo(q, K, qs, K, weights.into, scaled);
      scaleTo(stateSize, carry, dState, dState);
      for (int64_t t = 0; t < q; t++) {
        axpy(K, dqn[t], n, T + t * K);
        entered[t] = dot(K, scaled + t * K, T + t * K);
        axpy(K, weights.into[t], T + t * K, dq + t * p.qRow);
        axpy(K, dqn[t], scaled + t * K, dn);
      }
      gemm(K, V, q, {scaled, 1, K}, {dSums, V, 1}, dC, V, true);
    }
    for (int64_t t = 0; t < q; t++) scaleTo(K, p.scale, dq + t * p.qRow, dq + t * p.qRow);

    // Log forget gates: pairs s < i <= t, what entered from i on, what left before i, what passed through.
    zero(q, below);
    float later = across, earlier = 0;
    for (int64_t i = q - 1; i >= 0; i--) {
      add(i + 1, D + i * Q, below);
      Vec total{};
      for (int64_t s = 0; s < i; s += LANES) total += load(below + s, i - s);
      later += entered[i];
      dLog[i] = sum(total) + later;
    }
    for (int64_t i = 0; i < q; i++) {
      dLog[i] += earlier;
      earlier += left[i];
    }

    // The stabiliser's gradient goes to the gate that made the maximum, or on to the position before.
    for (int64_t t = q - 1; t >= 0; t--) {
      const int64_t at = gate + t * p.heads;
      const bool isReal = c * Q + t < p.real(b), isKept = weights.kept[t] != 0;
      dm += direct[t];
      grads.input[at] = isReal ? columns[t] + left[t] + (isKept ? 0 : dm) : 0;
      grads.forget[at] = isReal ? (dLog[t] + (isKept ? dm : 0)) * sigmoid1(-p.forget[at]) : 0;
      if (!isKept || (ids && ids[t] != (t ? ids[t - 1] : before))) dm = 0;
    }
  }
  if (!grads.C) return;
  copy(KV, dC, grads.C + task * KV);
  copy(K, dn, grads.n + task * K);
  grads.m[task] = in.isPublished ? 0 : dm + dot(stateSize, dState, states);
}

}  // namespace

/** Inputs of `Mlstm`, h, dh, dC?, dn?, dm? -> dq, dk, dv, dInput, dForget, and dC, dn, dm of a given initial state. */
BYTELM_OP(MlstmGrad) {
  const Cell p(call);
  Incoming in{};
  in.h = call.floats();
  in.dh = call.floats();
  in.dC = call.floats();
  in.dn = call.floats();
  in.dm = call.floats();
  in.isPublished = call.flag();
  Grads grads{};
  grads.q = call.output(p.qShape.dims);
  grads.k = call.output(p.qShape.dims);
  grads.v = call.output(p.vShape.dims);
  grads.input = call.output({p.batch, p.length, p.heads});
  grads.forget = call.output({p.batch, p.length, p.heads});
  if (p.C) {
    grads.C = call.output({p.batch, p.heads, p.K, p.V});
    grads.n = call.output({p.batch, p.heads, p.K});
    grads.m = call.output({p.batch, p.heads});
  }
  parallel(p.batch * p.heads, [&](int64_t task) { oneHead(p, task, in, grads); });
}
