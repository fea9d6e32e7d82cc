// Gates of the mLSTM as weights (mlstm.md section 1.3): one head, one chunk of q positions at a time.
//
// With b the sum of log forget gates since the chunk (or the document in it) began and u = i - b, pair (t, s) weighs exp(b_t + u_s) and the
// entering state exp(b_t + m). The largest of them over s <= t is b_t + M_t, the stabiliser; scaled by it, weights are exp(u_s - M_t) and
// exp(m - M_t). b, u and M are kept in double precision: they grow with the chunk, and differences of them decide.
#pragma once
#include "gemm.h"
#include "op.h"
#include "pool.h"
#include "vec.h"

namespace bytelm::mlstm {

/** Inputs of a call; q, k (B, L, H, K), v (B, L, H, V), gates (B, L, H), state (B, H, K, V), (B, H, K), (B, H). */
struct Cell {
  const float *q, *k, *v, *input, *forget, *C, *n, *m;
  const int32_t *ids, *lengths;
  int64_t batch, length, heads, K, V, chunk;
  int64_t qRow, vRow;
  float eps, scale;
  Shape qShape, vShape;

  explicit Cell(Call& call) {
    q = call.floats(&qShape);
    k = call.floats();
    v = call.floats(&vShape);
    input = call.floats();
    forget = call.floats();
    C = call.floats();
    n = call.floats();
    m = call.floats();
    ids = call.ints();
    lengths = call.ints();
    chunk = call.integer();
    eps = call.number();
    batch = qShape[0], length = qShape[1], heads = qShape[2], K = qShape[3], V = vShape[3];
    qRow = heads * K, vRow = heads * V;
    scale = 1.0f / std::sqrt(static_cast<float>(K));
  }
  int64_t chunks() const { return (length + chunk - 1) / chunk; }
  int64_t positions(int64_t c) const { return length - c * chunk < chunk ? length - c * chunk : chunk; }
  int64_t real(int64_t b) const { return lengths ? lengths[b] : length; }
  const int32_t* idsOf(int64_t b, int64_t c) const { return ids ? ids + b * length + c * chunk : nullptr; }
  /** Id of the position before a chunk; the initial state belongs to document 0. */
  int32_t idBefore(int64_t b, int64_t c) const { return ids && c > 0 ? ids[b * length + c * chunk - 1] : 0; }
  /** A head's gate at the start of a chunk; times K or V it is the place in q or v. */
  int64_t gateAt(int64_t b, int64_t c, int64_t h) const { return (b * length + c * chunk) * heads + h; }

  /** b and u of all positions of a head. */
  void logGates(int64_t row, int64_t h, double* b, double* u) const {
    double total = 0;
    for (int64_t t = 0; t < length; t++) {
      const int64_t at = row * length + t;
      if (t % chunk == 0 || (ids && ids[at] != ids[at - 1])) total = 0;
      const bool isReal = t < real(row);
      if (isReal) total -= softplus1(-forget[at * heads + h]);
      b[t] = total;
      // What does not count weighs exp of this, which is 0.
      u[t] = (isReal ? static_cast<double>(input[at * heads + h]) : -1e30) - total;
    }
  }
};

/** Per position of a chunk. */
struct Weights {
  double* M;
  /** m = b + M; scaled weight of the entering state; 1 where the forget gate made m; u as the sum of two floats. */
  float *m, *into, *kept, *high, *low;

  static constexpr int64_t floats(int64_t Q) { return 7 * Q + 2; }
  Weights(float* p, int64_t Q) : M(reinterpret_cast<double*>(p)), m(p + 2 * Q), into(m + Q), kept(into + Q), high(kept + Q), low(high + Q) {}

  void stabilise(int64_t q, const double* b, const double* u, const int32_t* ids, int32_t before, float entry) const {
    bool enters = true;
    double largest = entry;
    for (int64_t t = 0; t < q; t++) {
      if (ids && ids[t] != (t ? ids[t - 1] : before)) {
        enters = false;
        largest = 0;
      }
      const bool isKept = largest >= u[t];
      if (!isKept) largest = u[t];
      M[t] = largest;
      m[t] = static_cast<float>(b[t] + largest);
      into[t] = enters ? std::exp(static_cast<float>(entry - largest)) : 0;
      kept[t] = isKept ? 1 : 0;
      high[t] = static_cast<float>(u[t]);
      low[t] = static_cast<float>(u[t] - high[t]);
    }
  }

  /** row[s] = exp(u_s - M_t) for s <= t of t's document, 0 for the rest of the q. */
  void row(int64_t q, int64_t t, const int32_t* ids, float* to) const {
    const float h = static_cast<float>(M[t]), l = static_cast<float>(M[t] - h);
    // Beyond t exponents may be positive: exp clamps them, and they are cleared.
    for (int64_t s = 0; s <= t; s += LANES) store(to + s, exp((load(high + s, q - s) - h) + (load(low + s, q - s) - l)), q - s);
    zero(q - t - 1, to + t + 1);
    if (ids) for (int64_t s = 0; s < t && ids[s] != ids[t]; s++) to[s] = 0;
  }
};

inline void scaleTo(int64_t n, float f, const float* x, float* y) {
  for (int64_t i = 0; i < n; i += LANES) store(y + i, load(x + i, n - i) * f, n - i);
}
/** to[t] = f[t] from[t], q rows of `width`; rows of `to` are adjacent. */
inline void scaleRowsTo(int64_t q, int64_t width, const float* from, int64_t stride, const float* f, float* to) {
  for (int64_t t = 0; t < q; t++) scaleTo(width, f[t], from + t * stride, to + t * width);
}

/** Scores S = (qs k^T) D, rows Q apart, and the sum of each row. */
inline void scoreTile(int64_t q, int64_t Q, int64_t K, const float* qs, const float* k, int64_t kRow, const float* D, float* S, float* sums) {
  gemm(q, q, K, {qs, K, 1}, {k, 1, kRow}, S, Q, false);
  for (int64_t t = 0; t < q; t++) {
    Vec total{};
    for (int64_t s = 0; s < q; s += LANES) {
      const Vec v = load(S + t * Q + s, q - s) * load(D + t * Q + s, q - s);
      store(S + t * Q + s, v, q - s);
      total += v;
    }
    sums[t] = sum(total);
  }
}

/** C = carry C + sum_s w_s k_s v_s^T, n alike, adjacent in `state`; `scaled` has room for q x K. */
inline void nextState(const Cell& p, int64_t q, const float* k, const float* v, const float* w, float carry, float* state, float* scaled) {
  scaleRowsTo(q, p.K, k, p.qRow, w, scaled);
  scaleTo(p.K * p.V + p.K, carry, state, state);
  for (int64_t s = 0; s < q; s++) add(p.K, scaled + s * p.K, state + p.K * p.V);
  gemm(p.K, p.V, q, {scaled, 1, p.K}, {v, p.vRow, 1}, state, p.V, true);
}

/** The initial state of a row and head, C and n adjacent, or zeros. */
inline void initialState(const Cell& p, int64_t task, float* state) {
  const int64_t KV = p.K * p.V;
  if (!p.C) return zero(KV + p.K, state);
  copy(KV, p.C + task * KV, state);
  copy(p.K, p.n + task * p.K, state + KV);
}

}  // namespace bytelm::mlstm
