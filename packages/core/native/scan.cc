// First-order linear recurrence h_t = a_t h_{t-1} + b_t over time (kernels.md section 4). b (B, L, D); a (B, L), or (B, L, D) per channel.
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

namespace {

/** Channels of one task. */
constexpr int64_t COLUMNS = 4 * LANES;

struct Scan {
  int64_t batch, length, width;
  bool isShared, isReverse;
  const int32_t *lengths, *ids;
  int64_t blocks() const { return (width + COLUMNS - 1) / COLUMNS; }
  int64_t runs(int64_t b) const { return lengths ? lengths[b] : length; }
  /** The i-th step in the order of the recurrence, and the one before it. */
  int64_t step(int64_t i) const { return isReverse ? length - 1 - i : i; }
  int64_t before(int64_t t) const { return isReverse ? t + 1 : t - 1; }
  /** A document starts here: the state before does not count. The first step has the initial state. */
  bool starts(int64_t b, int64_t i) const { return ids && i > 0 && ids[b * length + step(i)] != ids[b * length + before(step(i))]; }
  /** Factors of LANES channels at a step. */
  Vec factor(const float* a, int64_t at, int64_t c) const { return isShared ? splat(a[at]) : load(a + at * width + c, width - c); }
};

}  // namespace

/** b, a, h0? (B, D); lengths? (B), ids? (B, L) -> y, final (B, D). */
BYTELM_OP(Scan) {
  Shape shape, factors;
  const float* b = call.floats(&shape);
  const float* a = call.floats(&factors);
  const float* h0 = call.floats();
  Scan s{shape[0], shape[1], shape[2], factors.rank() == 2, false, nullptr, nullptr};
  s.lengths = call.ints();
  s.ids = call.ints();
  s.isReverse = call.flag();
  float* y = call.output(shape.dims);
  float* final = call.output({s.batch, s.width});
  parallel(s.batch * s.blocks(), [&](int64_t task) {
    const int64_t n = task / s.blocks(), c0 = task % s.blocks() * COLUMNS, c1 = c0 + COLUMNS < s.width ? c0 + COLUMNS : s.width;
    float h[COLUMNS] = {};
    if (h0) copy(c1 - c0, h0 + n * s.width + c0, h);
    for (int64_t i = 0; i < s.length; i++) {
      const int64_t t = s.step(i), at = n * s.length + t;
      const bool isRun = t < s.runs(n), starts = s.starts(n, i);
      for (int64_t c = c0; c < c1; c += LANES) {
        Vec v = load(h + c - c0);
        if (isRun) v = starts ? load(b + at * s.width + c, s.width - c) : s.factor(a, at, c) * v + load(b + at * s.width + c, s.width - c);
        store(h + c - c0, v);
        store(y + at * s.width + c, v, s.width - c);
      }
    }
    copy(c1 - c0, h, final + n * s.width + c0);
  });
}

/** a, y, h0?, dy, dfinal; lengths?, ids? -> db, da, dh0: g_t = dy_t + a_{t+1} g_{t+1}, db = g, da = g h_{t-1}. */
BYTELM_OP(ScanGrad) {
  Shape factors, shape;
  const float* a = call.floats(&factors);
  const float* y = call.floats(&shape);
  const float* h0 = call.floats();
  const float* dy = call.floats();
  const float* dFinal = call.floats();
  Scan s{shape[0], shape[1], shape[2], factors.rank() == 2, false, nullptr, nullptr};
  s.lengths = call.ints();
  s.ids = call.ints();
  s.isReverse = call.flag();
  float* db = call.output(shape.dims);
  float* da = call.output(factors.dims);
  float* dh0 = call.output({s.batch, s.width});
  // Sums over the channels of a shared factor: one part per block of channels, added up in order.
  std::vector<float> parts(static_cast<size_t>(s.isShared ? s.blocks() * s.batch * s.length : 0));
  parallel(s.batch * s.blocks(), [&](int64_t task) {
    const int64_t n = task / s.blocks(), block = task % s.blocks(), c0 = block * COLUMNS, c1 = c0 + COLUMNS < s.width ? c0 + COLUMNS : s.width;
    float carry[COLUMNS] = {};
    copy(c1 - c0, dFinal + n * s.width + c0, carry);
    for (int64_t i = s.length - 1; i >= 0; i--) {
      const int64_t t = s.step(i), at = n * s.length + t;
      const bool isRun = t < s.runs(n), starts = s.starts(n, i);
      const float* h = starts ? nullptr : i > 0 ? y + (n * s.length + s.before(t)) * s.width : h0 ? h0 + n * s.width : nullptr;
      Vec total{};
      for (int64_t c = c0; c < c1; c += LANES) {
        const int64_t left = s.width - c;
        const Vec g = load(carry + c - c0) + load(dy + at * s.width + c, left);
        const Vec product = isRun && h ? g * load(h + c, left) : Vec{};
        store(db + at * s.width + c, isRun ? g : Vec{}, left);
        store(carry + c - c0, !isRun ? g : starts ? Vec{} : s.factor(a, at, c) * g);
        if (s.isShared) total += product;
        else store(da + at * s.width + c, product, left);
      }
      if (s.isShared) parts[static_cast<size_t>(block * s.batch * s.length + at)] = sum(total);
    }
    copy(c1 - c0, carry, dh0 + n * s.width + c0);
  });
  if (!s.isShared) return;
  zero(s.batch * s.length, da);
  for (int64_t block = 0; block < s.blocks(); block++) add(s.batch * s.length, parts.data() + block * s.batch * s.length, da);
}
