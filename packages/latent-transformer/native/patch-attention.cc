// Attention between bytes and patches (kernels.md section 7): every query sees one short run of keys, its patch's bytes or its patch's slots.
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

namespace {

struct Sizes {
  int64_t batch, length, patches, slots, heads, dim, valueDim;
  /** Floats between neighbouring keys, between neighbouring values. */
  int64_t keyRow, valueRow;
  const float *q, *k, *v, *dy = nullptr;
  const int32_t* ids;
  float scale;
  Shape qShape, kShape, vShape;

  /** @param toPatches slots attend to bytes; else bytes to slots. */
  Sizes(Call& call, bool toPatches, bool backward) {
    q = call.floats(&qShape);
    k = call.floats(&kShape);
    v = call.floats(&vShape);
    if (backward) dy = call.floats();
    ids = call.ints();
    scale = call.number();
    const Shape &slotShape = toPatches ? qShape : kShape, &byteShape = toPatches ? kShape : qShape;
    batch = byteShape[0], length = byteShape[1], patches = slotShape[1], slots = slotShape[2];
    heads = qShape[-2], dim = qShape[-1], valueDim = vShape[-1];
    keyRow = heads * dim, valueRow = heads * valueDim;
  }

  int64_t patchOf(int64_t byte) const { return ids[byte] < patches ? ids[byte] : -1; }
};

/** Calls `visit(query, firstKey, count)` for every query of row b that sees a key. */
template <class F>
void forSlots(const Sizes& s, int64_t b, F&& visit) {
  for (int64_t t = b * s.length; t < (b + 1) * s.length; t++) {
    const int64_t id = s.patchOf(t);
    if (id >= 0) visit(t, (b * s.patches + id) * s.slots, s.slots);
  }
}

template <class F>
void forPatches(const Sizes& s, int64_t b, F&& visit) {
  for (int64_t t = b * s.length, end = t + s.length; t < end;) {
    int64_t next = t + 1;
    while (next < end && s.ids[next] == s.ids[t]) next++;
    const int64_t id = s.patchOf(t);
    for (int64_t slot = 0; id >= 0 && slot < s.slots; slot++) visit((b * s.patches + id) * s.slots + slot, t, next - t);
    t = next;
  }
}

/** Scores of `count` keys -> weights. `p` has room for whole vectors. */
void softmax(int64_t count, float scale, float* p) {
  Vec tops = splat(-1e30f), bad{};
  for (int64_t j = 0; j < count; j += LANES) {
    const Vec x = load(p + j, count - j, -1e30f / scale) * scale;
    store(p + j, x);
    tops = max(tops, x);
    bad += x - x;
  }
  // max loses NaN: it comes back with `bad`.
  const float top = largest(tops) + sum(bad);
  Vec total{};
  for (int64_t j = 0; j < count; j += LANES) {
    const Vec e = exp(load(p + j) - top);
    store(p + j, e);
    total += e;
  }
  const float share = 1 / sum(total);
  for (int64_t j = 0; j < count; j += LANES) store(p + j, load(p + j) * share);
}

void weightsOf(const Sizes& s, const float* query, const float* keys, int64_t count, float* p) {
  for (int64_t j = 0; j < count; j++) p[j] = dot(s.dim, query, keys + j * s.keyRow);
  softmax(count, s.scale, p);
}

int64_t longest(const Sizes& s, bool toPatches) { return (toPatches ? s.length : s.slots) + 2 * LANES; }

template <class Walk>
void forward(Call& call, bool toPatches, Walk walk) {
  const Sizes s(call, toPatches, false);
  std::vector<int64_t> shape = s.qShape.dims;
  shape.back() = s.valueDim;
  float* y = call.output(shape);
  zero(s.qShape.size() / s.dim * s.valueDim, y);
  parallel(s.batch * s.heads, [&](int64_t task) {
    const int64_t h = task % s.heads;
    float* p = scratch(longest(s, toPatches));
    walk(s, task / s.heads, [&](int64_t query, int64_t key, int64_t count) {
      weightsOf(s, s.q + query * s.keyRow + h * s.dim, s.k + key * s.keyRow + h * s.dim, count, p);
      for (int64_t j = 0; j < count; j++) axpy(s.valueDim, p[j], s.v + (key + j) * s.valueRow + h * s.valueDim, y + query * s.valueRow + h * s.valueDim);
    });
  });
}

template <class Walk>
void backward(Call& call, bool toPatches, Walk walk) {
  const Sizes s(call, toPatches, true);
  float* dq = call.output(s.qShape.dims);
  float* dk = call.output(s.kShape.dims);
  float* dv = call.output(s.vShape.dims);
  zero(s.qShape.size(), dq);
  zero(s.kShape.size(), dk);
  zero(s.vShape.size(), dv);
  // Queries of one head of one row add to the same gradients: one task.
  parallel(s.batch * s.heads, [&](int64_t task) {
    const int64_t h = task % s.heads, room = longest(s, toPatches);
    float *p = scratch(2 * room), *dp = p + room;
    walk(s, task / s.heads, [&](int64_t query, int64_t key, int64_t count) {
      const int64_t at = query * s.keyRow + h * s.dim, first = key * s.keyRow + h * s.dim, value = key * s.valueRow + h * s.valueDim;
      const float* dy = s.dy + query * s.valueRow + h * s.valueDim;
      weightsOf(s, s.q + at, s.k + first, count, p);
      float mean = 0;
      for (int64_t j = 0; j < count; j++) {
        dp[j] = dot(s.valueDim, dy, s.v + value + j * s.valueRow);
        mean += p[j] * dp[j];
      }
      for (int64_t j = 0; j < count; j++) {
        const float ds = p[j] * (dp[j] - mean) * s.scale;
        axpy(s.dim, ds, s.k + first + j * s.keyRow, dq + at);
        axpy(s.dim, ds, s.q + at, dk + first + j * s.keyRow);
        axpy(s.valueDim, p[j], dy, dv + value + j * s.valueRow);
      }
    });
  });
}

const auto slots = [](const Sizes& s, int64_t b, auto&& visit) { forSlots(s, b, visit); };
const auto patches = [](const Sizes& s, int64_t b, auto&& visit) { forPatches(s, b, visit); };

}  // namespace

/** q (B, L, H, D), k (B, M, S, H, D), v (B, M, S, H, Dv); ids (B, L) -> y (B, L, H, Dv). */
BYTELM_OP(SlotAttention) { forward(call, false, slots); }
/** The same with dy -> dq, dk, dv. */
BYTELM_OP(SlotAttentionGrad) { backward(call, false, slots); }
/** q (B, M, S, H, D), k (B, L, H, D), v (B, L, H, Dv); ids (B, L) -> y (B, M, S, H, Dv). */
BYTELM_OP(PoolAttention) { forward(call, true, patches); }
BYTELM_OP(PoolAttentionGrad) { backward(call, true, patches); }
