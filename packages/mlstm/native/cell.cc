// Chunkwise mLSTM, forward (mlstm.md section 1.3).
#include "weights.h"

using namespace bytelm;
using namespace bytelm::mlstm;

/** q, k, v, input, forget, C?, n?, m?; ids?, lengths? -> h, final C, n, m?. */
BYTELM_OP(Mlstm) {
  const Cell p(call);
  const bool returnState = call.flag();
  const int64_t Q = p.chunk, K = p.K, V = p.V, KV = K * V;
  float* h = call.output(p.vShape.dims);
  float* finalC = returnState ? call.output({p.batch, p.heads, K, V}) : nullptr;
  float* finalN = returnState ? call.output({p.batch, p.heads, K}) : nullptr;
  float* finalM = returnState ? call.output({p.batch, p.heads}) : nullptr;
  parallel(p.batch * p.heads, [&](int64_t task) {
    const int64_t b = task / p.heads, x = task % p.heads;
    float* memory = scratch(4 * p.length + Weights::floats(Q) + 2 * Q * Q + 2 * Q + Q * K + KV + K + 4 * LANES);
    double *b64 = reinterpret_cast<double*>(memory), *u64 = b64 + p.length;
    const Weights weights(memory + 4 * p.length, Q);
    float *D = memory + 4 * p.length + Weights::floats(Q), *S = D + Q * Q, *qn = S + Q * Q, *scaled = qn + 2 * Q, *state = scaled + Q * K;
    p.logGates(b, x, b64, u64);
    initialState(p, task, state);
    float entry = p.m ? p.m[task] : 0;
    for (int64_t c = 0; c < p.chunks(); c++) {
      const int64_t q = p.positions(c), gate = p.gateAt(b, c, x);
      const float *k = p.k + gate * K, *v = p.v + gate * V;
      float* hc = h + gate * V;
      weights.stabilise(q, b64 + c * Q, u64 + c * Q, p.idsOf(b, c), p.idBefore(b, c), entry);
      for (int64_t t = 0; t < q; t++) {
        weights.row(q, t, p.idsOf(b, c), D + t * Q);
        scaleTo(K, p.scale, p.q + gate * K + t * p.qRow, scaled + t * K);
      }
      scoreTile(q, Q, K, scaled, k, p.qRow, D, S, qn);
      gemm(q, V, q, {S, Q, 1}, {v, p.vRow, 1}, hc, p.vRow, false);
      if (c > 0 || p.C) {
        scaleRowsTo(q, K, scaled, K, weights.into, scaled);
        for (int64_t t = 0; t < q; t++) qn[t] += dot(K, scaled + t * K, state + KV);
        gemm(q, V, K, {scaled, K, 1}, {state, V, 1}, hc, p.vRow, true);
      }
      for (int64_t t = 0; t < q; t++) {
        const float floor = std::exp(-weights.m[t]), size = std::fabs(qn[t]);
        scaleTo(V, 1.0f / ((size > floor ? size : floor) + p.eps), hc + t * p.vRow, hc + t * p.vRow);
      }
      if (returnState || c + 1 < p.chunks()) nextState(p, q, k, v, D + (q - 1) * Q, weights.into[q - 1], state, scaled);
      entry = weights.m[q - 1];
    }
    if (!returnState) return;
    copy(KV, state, finalC + task * KV);
    copy(K, state + KV, finalN + task * K);
    finalM[task] = entry;
  });
}
