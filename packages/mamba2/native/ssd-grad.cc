// Gradients of the chunked scan (mamba2.md section 5). Everything is computed again from the inputs.
#include "chunk.h"

using namespace bytelm;

namespace {

/** Heads are split where batch and groups alone give fewer tasks than this. */
constexpr int64_t WANTED_TASKS = 8;

struct Grads {
  float *x, *dt, *A, *D, *bias, *initial;
};

/** What the heads of one block add up: gradients of B, C (L, N) and of C_t . B_j (L, Q); and per head A and bias. */
struct Shared {
  float *B, *C, *gram;
};

/** One head of one row. `dA`, `dBias`, `dD` are this row's own sums. */
void oneHead(const Ssd& p, int64_t b, int64_t h, const float* gram, const float* dy, const float* dFinal, const Grads& grads, const Shared& shared,
             float* dA, float* dBias, float* dD) {
  const int64_t Q = p.chunk, P = p.headDim, N = p.state, PN = P * N, chunks = p.chunks(), g = h / (p.heads / p.groups);
  float* delta = scratch(2 * p.length + 3 * Q * Q + 6 * Q + 2 * Q * N + Q * P + (chunks + 1) * PN);
  float *s = delta + p.length, *E = s + p.length, *W = E + Q * Q, *M = W + Q * Q, *below = M + Q * Q, *into = below + Q, *out = into + Q, *da = out + Q,
        *r = da + Q, *k = r + Q, *scaled = k + Q, *V = scaled + Q * N, *du = V + Q * N, *states = du + Q * P, *dS = states + chunks * PN;
  const int64_t stateAt = (b * p.heads + h) * PN;
  p.stepSizes(b, h, delta, s);

  // States entering every chunk.
  if (p.initial) copy(PN, p.initial + stateAt, states);
  else zero(PN, states);
  for (int64_t c = 0; c + 1 < chunks; c++) {
    const float carry = chunkDecays(Q, s + c * Q, p.idsOf(b, c), p.idBefore(b, c), into, out);
    copy(PN, states + c * PN, states + (c + 1) * PN);
    nextState(p, Q, p.x + p.xAt(b, c, h), p.B + p.bAt(b, c, g), out, delta + c * Q, carry, states + (c + 1) * PN, scaled);
  }

  if (dFinal) copy(PN, dFinal + stateAt, dS);
  else zero(PN, dS);
  for (int64_t c = chunks - 1; c >= 0; c--) {
    const int64_t t0 = c * Q, q = p.positions(c);
    const float *d = delta + t0, *x = p.x + p.xAt(b, c, h), *dyc = dy + p.xAt(b, c, h), *S = states + c * PN;
    const float *B = p.B + p.bAt(b, c, g), *C = p.C + p.bAt(b, c, g), *G = gram + t0 * Q;
    const float carry = chunkDecays(q, s + t0, p.idsOf(b, c), p.idBefore(b, c), into, out);
    decayTile(q, Q, s + t0, p.idsOf(b, c), E);

    // Pairs within the chunk: W becomes the gradient of C_t . B_j, then of each pair's log decay; M the decay times C_t . B_j.
    gemm(q, q, P, {dyc, p.xRow, 1}, {x, 1, p.xRow}, W, Q, false);
    for (int64_t t = 0; t < q; t++) {
      float *w = W + t * Q, *e = E + t * Q, *m = M + t * Q, *dGram = shared.gram + (t0 + t) * Q;
      for (int64_t j = 0; j < q; j += LANES) {
        const int64_t left = q - j;
        const Vec ev = load(e + j, left), gv = load(G + t * Q + j, left), wv = load(w + j, left) * ev * load(d + j, left);
        store(dGram + j, load(dGram + j, left) + wv, left);
        store(m + j, ev * gv, left);
        store(w + j, wv * gv, left);
      }
    }
    // For every i, the sum over j < i <= t.
    zero(q, below);
    for (int64_t i = q - 1; i >= 0; i--) {
      add(i + 1, W + i * Q, below);
      Vec total{};
      for (int64_t j = 0; j < i; j += LANES) total += load(below + j, i - j);
      da[i] = sum(total);
    }
    gemm(q, P, q, Matrix{M, Q, 1}.transposed(), {dyc, p.xRow, 1}, du, P, false);

    // Through the state that leaves.
    gemm(q, N, P, {x, p.xRow, 1}, {dS, N, 1}, V, N, false);
    for (int64_t j = 0; j < q; j++) {
      const float f = out[j] * d[j];
      k[j] = f * dot(N, B + j * p.bRow, V + j * N);
      axpy(N, f, V + j * N, shared.B + (t0 + j) * N);
    }
    scaleRows(q, N, B, p.bRow, out, nullptr, scaled);
    gemm(q, P, N, {scaled, N, 1}, {dS, 1, N}, du, P, true);

    // Through the state that enters.
    const bool enters = c > 0 || p.initial;
    const float across = enters ? carry * dot(PN, dS, S) : 0;
    if (enters) gemm(q, N, P, {dyc, p.xRow, 1}, {S, N, 1}, V, N, false);
    for (int64_t t = 0; t < q; t++) {
      r[t] = enters ? into[t] * dot(N, C + t * p.bRow, V + t * N) : 0;
      if (enters) axpy(N, into[t], V + t * N, shared.C + (t0 + t) * N);
    }
    if (enters) {
      scaleRows(q, N, C, p.bRow, into, nullptr, scaled);
      scaleInPlace(PN, carry, dS);
      gemm(P, N, q, {dyc, 1, p.xRow}, {scaled, N, 1}, dS, N, true);
    }

    // Per position: r summed from i on, k summed before i.
    float later = 0, earlier = 0;
    for (int64_t i = q - 1; i >= 0; i--) {
      later += r[i];
      da[i] += later + across;
    }
    const float skip = p.D && !p.isDPerChannel ? p.D[h] : 0;
    for (int64_t i = 0; i < q; i++) {
      const float *xi = x + i * p.xRow, *dyi = dyc + i * p.xRow, *dui = du + i * P;
      float* dxi = grads.x + p.xAt(b, c, h) + i * p.xRow;
      const float dai = da[i] + earlier;
      earlier += k[i];
      *dA += d[i] * dai;
      const int64_t position = (b * p.length + t0 + i) * p.heads + h;
      const float dDelta = t0 + i < p.real(b) ? (dot(P, xi, dui) + p.A[h] * dai) * p.stepSizeSlope(p.dt[position], h) : 0;
      grads.dt[position] = dDelta;
      *dBias += dDelta;
      for (int64_t e = 0; e < P; e += LANES) {
        const int64_t left = P - e;
        const Vec factor = p.isDPerChannel ? load(p.D + h * P + e, left) : splat(skip);
        store(dxi + e, load(dui + e, left) * d[i] + load(dyi + e, left) * factor, left);
      }
      if (p.isDPerChannel) for (int64_t e = 0; e < P; e++) dD[e] += dyi[e] * xi[e];
      else if (p.D) *dD += dot(P, dyi, xi);
    }
  }
  if (grads.initial) copy(PN, dS, grads.initial + stateAt);
}

}  // namespace

/** Inputs of `Ssd`, dy, dFinal? -> dx, dDt, dA, dB, dC, dD?, dBias?, dInitial?. */
BYTELM_OP(SsdGrad) {
  const Ssd p(call);
  const float* dy = call.floats();
  const float* dFinal = call.floats();
  const int64_t Q = p.chunk, N = p.state, heads = p.heads, perGroup = heads / p.groups, dWidth = p.isDPerChannel ? p.headDim : 1;
  Grads grads{};
  grads.x = call.output(p.xShape.dims);
  grads.dt = call.output({p.batch, p.length, heads});
  grads.A = call.output({heads});
  float* dB = call.output(p.bShape.dims);
  float* dC = call.output(p.bShape.dims);
  grads.D = p.D ? call.output(p.dShape.dims) : nullptr;
  grads.bias = p.dtBias ? call.output({heads}) : nullptr;
  grads.initial = p.initial ? call.output({p.batch, heads, p.headDim, N}) : nullptr;

  const std::vector<float> gram = p.grams();
  const int64_t rows = p.batch * p.groups;
  const int64_t blocks = rows >= WANTED_TASKS ? 1 : (WANTED_TASKS + rows - 1) / rows < perGroup ? (WANTED_TASKS + rows - 1) / rows : perGroup;
  const int64_t perBlock = (perGroup + blocks - 1) / blocks, sharedSize = p.length * (2 * N + Q);
  std::vector<float> shared(static_cast<size_t>(rows * blocks * sharedSize));
  std::vector<float> sums(static_cast<size_t>(p.batch * heads * (2 + dWidth)));
  const auto sharedOf = [&](int64_t row, int64_t block) {
    float* at = shared.data() + (row * blocks + block) * sharedSize;
    return Shared{at, at + p.length * N, at + 2 * p.length * N};
  };
  parallel(rows * blocks, [&](int64_t task) {
    const int64_t row = task / blocks, block = task % blocks, b = row / p.groups, g = row % p.groups;
    for (int64_t i = block * perBlock; i < (block + 1) * perBlock && i < perGroup; i++) {
      const int64_t h = g * perGroup + i;
      float* own = sums.data() + (b * heads + h) * (2 + dWidth);
      oneHead(p, b, h, gram.data() + row * p.length * Q, dy, dFinal, grads, sharedOf(row, block), own, own + 1, own + 2);
    }
  });
  // What the heads of a group share, chunk by chunk.
  parallel(rows * p.chunks(), [&](int64_t task) {
    const int64_t row = task / p.chunks(), c = task % p.chunks(), b = row / p.groups, g = row % p.groups, q = p.positions(c), t0 = c * Q;
    const Shared first = sharedOf(row, 0);
    for (int64_t block = 1; block < blocks; block++) {
      const Shared other = sharedOf(row, block);
      add(q * N, other.B + t0 * N, first.B + t0 * N);
      add(q * N, other.C + t0 * N, first.C + t0 * N);
      add(q * Q, other.gram + t0 * Q, first.gram + t0 * Q);
    }
    const Matrix dGram{first.gram + t0 * Q, Q, 1};
    float *toB = dB + p.bAt(b, c, g), *toC = dC + p.bAt(b, c, g);
    for (int64_t t = 0; t < q; t++) {
      copy(N, first.B + (t0 + t) * N, toB + t * p.bRow);
      copy(N, first.C + (t0 + t) * N, toC + t * p.bRow);
    }
    gemm(q, N, q, dGram, {p.B + p.bAt(b, c, g), p.bRow, 1}, toC, p.bRow, true);
    gemm(q, N, q, dGram.transposed(), {p.C + p.bAt(b, c, g), p.bRow, 1}, toB, p.bRow, true);
  });
  for (int64_t h = 0; h < heads; h++) {
    float a = 0, bias = 0;
    std::vector<float> d(static_cast<size_t>(dWidth));
    for (int64_t b = 0; b < p.batch; b++) {
      const float* own = sums.data() + (b * heads + h) * (2 + dWidth);
      a += own[0];
      bias += own[1];
      for (int64_t i = 0; i < dWidth; i++) d[static_cast<size_t>(i)] += own[2 + i];
    }
    grads.A[h] = a;
    if (grads.bias) grads.bias[h] = bias;
    if (grads.D) copy(dWidth, d.data(), grads.D + h * dWidth);
  }
}
