// Chunked scan of Mamba-2, forward (mamba2.md section 4). Only causal decays are computed; step sizes go into the decay matrix and D onto its
// diagonal, so that x is used as it is.
#include "chunk.h"

using namespace bytelm;

/** x, dt, A, B, C, D?, dtBias?, initial?; ids?, lengths? -> y, final state (B, H, P, N)?. */
BYTELM_OP(Ssd) {
  const Ssd p(call);
  const bool returnState = call.flag();
  const int64_t Q = p.chunk, P = p.headDim, N = p.state, PN = P * N;
  float* y = call.output(p.xShape.dims);
  float* final = returnState ? call.output({p.batch, p.heads, P, N}) : nullptr;
  const std::vector<float> gram = p.grams();
  parallel(p.batch * p.heads, [&](int64_t task) {
    const int64_t b = task / p.heads, h = task % p.heads, g = h / (p.heads / p.groups);
    float* delta = scratch(2 * p.length + Q * Q + 2 * Q + Q * N + PN + 4 * LANES);
    float *s = delta + p.length, *E = s + p.length, *into = E + Q * Q, *out = into + Q, *scaled = out + Q;
    float* S = final ? final + task * PN : scaled + Q * N;
    p.stepSizes(b, h, delta, s);
    if (p.initial) copy(PN, p.initial + task * PN, S);
    else zero(PN, S);
    for (int64_t c = 0; c < p.chunks(); c++) {
      const int64_t t0 = c * Q, q = p.positions(c);
      const float carry = chunkDecays(q, s + t0, p.idsOf(b, c), p.idBefore(b, c), into, out);
      decayTile(q, Q, s + t0, p.idsOf(b, c), E);
      const float* G = gram.data() + ((b * p.groups + g) * p.length + t0) * Q;
      for (int64_t t = 0; t < q; t++) {
        float* row = E + t * Q;
        for (int64_t j = 0; j <= t; j += LANES) store(row + j, load(row + j, q - j) * load(G + t * Q + j, q - j) * load(delta + t0 + j, q - j), q - j);
        if (p.D && !p.isDPerChannel) row[t] += p.D[h];
      }
      const float* x = p.x + p.xAt(b, c, h);
      float* yc = y + p.xAt(b, c, h);
      gemm(q, P, q, {E, Q, 1}, {x, p.xRow, 1}, yc, p.xRow, false);
      if (c > 0 || p.initial) {
        scaleRows(q, N, p.C + p.bAt(b, c, g), p.bRow, into, nullptr, scaled);
        gemm(q, P, N, {scaled, N, 1}, {S, 1, N}, yc, p.xRow, true);
      }
      if (p.isDPerChannel) {
        for (int64_t t = 0; t < q; t++) for (int64_t i = 0; i < P; i++) yc[t * p.xRow + i] += p.D[h * P + i] * x[t * p.xRow + i];
      }
      if (final || c + 1 < p.chunks()) nextState(p, q, x, p.B + p.bAt(b, c, g), out, delta + t0, carry, S, scaled);
    }
  });
}
