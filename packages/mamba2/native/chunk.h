// Pieces of the chunked scan that forward and backward share (mamba2.md section 4): one head, one chunk of q positions at a time.
#pragma once
#include "gemm.h"
#include "op.h"
#include "pool.h"
#include "vec.h"

namespace bytelm {

/** Inputs of a call; x (B, L, H, P), dt (B, L, H), A (H), B and C (B, L, G, N), D (H) or (H, P). */
struct Ssd {
  const float *x, *dt, *A, *B, *C, *D, *dtBias, *initial;
  const int32_t *ids, *lengths;
  int64_t batch, length, heads, headDim, groups, state, chunk;
  int64_t xRow, bRow;
  bool softplus, isDPerChannel;
  float low, high;
  Shape xShape, bShape, dShape;

  explicit Ssd(Call& call) {
    x = call.floats(&xShape);
    dt = call.floats();
    A = call.floats();
    B = call.floats(&bShape);
    C = call.floats();
    D = call.floats(&dShape);
    dtBias = call.floats();
    initial = call.floats();
    ids = call.ints();
    lengths = call.ints();
    chunk = call.integer();
    softplus = call.flag();
    low = call.number();
    high = call.number();
    batch = xShape[0], length = xShape[1], heads = xShape[2], headDim = xShape[3], groups = bShape[2], state = bShape[3];
    xRow = heads * headDim, bRow = groups * state;
    isDPerChannel = D && dShape.rank() == 2;
  }
  int64_t chunks() const { return (length + chunk - 1) / chunk; }
  int64_t positions(int64_t c) const { return length - c * chunk < chunk ? length - c * chunk : chunk; }
  int64_t real(int64_t b) const { return lengths ? lengths[b] : length; }
  const int32_t* idsOf(int64_t b, int64_t c) const { return ids ? ids + b * length + c * chunk : nullptr; }
  /** Id of the position before a chunk; the initial state belongs to document 0. */
  int32_t idBefore(int64_t b, int64_t c) const { return ids && c > 0 ? ids[b * length + c * chunk - 1] : 0; }
  /** First value of a head at the start of a chunk, in tensors laid out as x; of a group, as B. */
  int64_t xAt(int64_t b, int64_t c, int64_t h) const { return ((b * length + c * chunk) * heads + h) * headDim; }
  int64_t bAt(int64_t b, int64_t c, int64_t g) const { return ((b * length + c * chunk) * groups + g) * state; }
  float bias(int64_t h) const { return dtBias ? dtBias[h] : 0; }

  /** Step sizes of a head and their log decays, summed from the start of each chunk on. */
  void stepSizes(int64_t b, int64_t h, float* delta, float* s) const {
    float sum = 0;
    for (int64_t t = 0; t < length; t++) {
      if (t % chunk == 0) sum = 0;
      float d = dt[(b * length + t) * heads + h] + bias(h);
      if (softplus) d = softplus1(d);
      d = d < low ? low : d > high ? high : d;
      if (t >= real(b)) d = 0;
      sum += d * A[h];
      delta[t] = d;
      s[t] = sum;
    }
  }
  /** d delta / d dt: 0 outside the limits. */
  float stepSizeSlope(float dt, int64_t h) const {
    const float raw = dt + bias(h), d = softplus ? softplus1(raw) : raw;
    if (d < low || d > high) return 0;
    return softplus ? sigmoid1(raw) : 1;
  }
  /** C_t . B_j of every chunk and group, rows `chunk` apart: (B, G, L, chunk). */
  std::vector<float> grams() const {
    std::vector<float> gram(static_cast<size_t>(batch * groups * length * chunk));
    parallel(batch * groups * chunks(), [&](int64_t i) {
      const int64_t c = i % chunks(), g = i / chunks() % groups, b = i / chunks() / groups, q = positions(c);
      float* to = gram.data() + ((b * groups + g) * length + c * chunk) * chunk;
      gemm(q, q, state, {C + bAt(b, c, g), bRow, 1}, {B + bAt(b, c, g), 1, bRow}, to, chunk, false);
    });
    return gram;
  }
};

/** Decays of one chunk: from its entry to t, from t to its end; returns the decay across it. */
inline float chunkDecays(int64_t q, const float* s, const int32_t* ids, int32_t before, float* into, float* out) {
  const float total = s[q - 1];
  for (int64_t t = 0; t < q; t += LANES) {
    store(into + t, exp(load(s + t, q - t)), q - t);
    store(out + t, exp(total - load(s + t, q - t)), q - t);
  }
  if (!ids) return std::exp(total);
  for (int64_t t = 0; t < q; t++) {
    if (ids[t] != before) into[t] = 0;
    if (ids[t] != ids[q - 1]) out[t] = 0;
  }
  return ids[q - 1] == before ? std::exp(total) : 0;
}

/** E[t, j] = exp(s_t - s_j) for j <= t of one document, else 0; rows `ld` apart. */
inline void decayTile(int64_t q, int64_t ld, const float* s, const int32_t* ids, float* E) {
  for (int64_t t = 0; t < q; t++) {
    float* row = E + t * ld;
    // Beyond t exponents are positive: exp clamps them, and they are cleared.
    for (int64_t j = 0; j <= t; j += LANES) store(row + j, exp(s[t] - load(s + j, q - j)), q - j);
    zero(q - t - 1, row + t + 1);
    if (ids) for (int64_t j = 0; j < t; j++) if (ids[j] != ids[t]) row[j] = 0;
  }
}

/** z = x y, elementwise. */
inline void multiply(int64_t n, const float* x, const float* y, float* z) {
  for (int64_t i = 0; i < n; i += LANES) store(z + i, load(x + i, n - i) * load(y + i, n - i), n - i);
}
inline void scaleInPlace(int64_t n, float f, float* x) {
  for (int64_t i = 0; i < n; i += LANES) store(x + i, load(x + i, n - i) * f, n - i);
}
/** to[t] = f[t] (* g[t]) from[t], q rows of `width`; rows of `to` are adjacent. */
inline void scaleRows(int64_t q, int64_t width, const float* from, int64_t stride, const float* f, const float* g, float* to) {
  for (int64_t t = 0; t < q; t++) {
    const float factor = g ? f[t] * g[t] : f[t];
    for (int64_t i = 0; i < width; i += LANES) store(to + t * width + i, load(from + t * stride + i, width - i) * factor, width - i);
  }
}

/** S = carry S + sum_j out_j delta_j x_j B_j^T; `scaled` has room for q x N. */
inline void nextState(const Ssd& p, int64_t q, const float* x, const float* B, const float* out, const float* delta, float carry, float* S, float* scaled) {
  scaleRows(q, p.state, B, p.bRow, out, delta, scaled);
  scaleInPlace(p.headDim * p.state, carry, S);
  gemm(p.headDim, p.state, q, {x, 1, p.xRow}, {scaled, p.state, 1}, S, p.state, true);
}

}  // namespace bytelm
