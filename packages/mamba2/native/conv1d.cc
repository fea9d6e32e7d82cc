// Causal depthwise convolution over time and its gradients (kernels.md section 2). x, y (B, L, C); weight (C, K).
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

namespace {

/** Channels one task works on: its columns of K + 1 rows stay in the first cache. */
constexpr int64_t BLOCK = 4 * LANES;

struct Conv {
  Shape x, w;
  const float *input, *weight, *bias, *history;
  const int32_t *ids, *lengths;
  int64_t batch, length, channels, width;
  bool isSilu;

  explicit Conv(Call& call) {
    input = call.floats(&x);
    weight = call.floats(&w);
    bias = call.floats();
    history = call.floats();
    ids = call.ints();
    lengths = call.ints();
    isSilu = call.flag();
    batch = x[0], length = x[1], channels = x[2], width = w[1];
  }
  int64_t blocks() const { return (channels + BLOCK - 1) / BLOCK; }
  int64_t end(int64_t b) const { return lengths ? lengths[b] : length; }

  /** Row that tap k of position t reads, in time steps from the start (negative: history), or `NOTHING`. */
  static constexpr int64_t NOTHING = INT64_MIN;
  int64_t source(int64_t b, int64_t t, int64_t k) const {
    const int64_t from = t - width + 1 + k;
    // The history belongs to document 0.
    if (ids && ids[b * length + t] != (from >= 0 ? ids[b * length + from] : 0)) return NOTHING;
    return from >= 0 || history ? from : NOTHING;
  }
  const float* row(int64_t b, int64_t from) const {
    return from >= 0 ? input + (b * length + from) * channels : history + (b * (width - 1) + from + width - 1) * channels;
  }
  /** Column block c0.. of the weights by tap, zero-padded to BLOCK. */
  void taps(int64_t c0, float* to) const {
    for (int64_t k = 0; k < width; k++)
      for (int64_t i = 0; i < BLOCK; i++) to[k * BLOCK + i] = c0 + i < channels ? weight[(c0 + i) * width + k] : 0;
  }
  Vec preActivation(int64_t b, int64_t t, int64_t c, int64_t left, const float* tap) const {
    Vec pre = bias ? load(bias + c, left) : Vec{};
    for (int64_t k = 0; k < width; k++) {
      const int64_t from = source(b, t, k);
      if (from != NOTHING) pre += load(tap + k * BLOCK) * load(row(b, from) + c, left);
    }
    return pre;
  }
};

}  // namespace

BYTELM_OP(CausalConv1d) {
  const Conv conv(call);
  const bool returnState = call.flag();
  float* y = call.output(conv.x.dims);
  float* last = returnState ? call.output({conv.batch, conv.width - 1, conv.channels}) : nullptr;
  const int64_t width = conv.width, channels = conv.channels;
  parallel(conv.batch * conv.blocks(), [&](int64_t task) {
    const int64_t b = task / conv.blocks(), c0 = task % conv.blocks() * BLOCK;
    float* tap = scratch(width * BLOCK);
    conv.taps(c0, tap);
    for (int64_t i = 0; i < BLOCK && c0 + i < channels; i += LANES) {
      const int64_t c = c0 + i, left = channels - c;
      for (int64_t t = 0; t < conv.length; t++) {
        const Vec pre = conv.preActivation(b, t, c, left, tap + i);
        store(y + (b * conv.length + t) * channels + c, conv.isSilu ? silu(pre) : pre, left);
      }
    }
  });
  if (!last) return;
  for (int64_t b = 0; b < conv.batch; b++) {
    for (int64_t i = 0; i < width - 1; i++) {
      const int64_t from = conv.end(b) - width + 1 + i;
      float* to = last + (b * (width - 1) + i) * channels;
      if (from >= 0 || conv.history) copy(channels, conv.row(b, from), to);
      else zero(channels, to);
    }
  }
}

BYTELM_OP(CausalConv1dGrad) {
  const Conv conv(call);
  const float* dy = call.floats();
  const float* dLast = call.floats();
  const int64_t width = conv.width, channels = conv.channels, length = conv.length;
  float* dx = call.output(conv.x.dims);
  float* dWeight = call.output(conv.w.dims);
  float* dBias = conv.bias ? call.output({channels}) : nullptr;
  float* dHistory = conv.history ? call.output({conv.batch, width - 1, channels}) : nullptr;
  const int64_t before = width - 1;
  // A task owns its columns of every row of the batch, so nothing is shared and sums have one order.
  parallel(conv.blocks(), [&](int64_t block) {
    const int64_t c0 = block * BLOCK;
    float* tap = scratch((2 * width + 1) * BLOCK + width * LANES);
    float* dTap = tap + width * BLOCK;
    float* sumBias = dTap + width * BLOCK;
    // Gradients of the last K inputs, a ring over time: complete once the window has passed.
    float* ring = sumBias + BLOCK;
    conv.taps(c0, tap);
    zero((width + 1) * BLOCK, dTap);
    for (int64_t i = 0; i < BLOCK && c0 + i < channels; i += LANES) {
      const int64_t c = c0 + i, left = channels - c;
      Vec biasGradient{};
      for (int64_t b = 0; b < conv.batch; b++) {
        zero(width * LANES, ring);
        const auto finish = [&](int64_t from) {
          float* slot = ring + (from + width) % width * LANES;
          Vec d = load(slot);
          store(slot, Vec{});
          const int64_t kept = from - (conv.end(b) - before);
          if (dLast && kept >= 0 && kept < before) d += load(dLast + (b * before + kept) * channels + c, left);
          if (from >= 0) store(dx + (b * length + from) * channels + c, d, left);
          else if (dHistory) store(dHistory + (b * before + from + before) * channels + c, d, left);
        };
        for (int64_t t = 0; t < length; t++) {
          Vec d = load(dy + (b * length + t) * channels + c, left);
          if (conv.isSilu) {
            const Vec pre = conv.preActivation(b, t, c, left, tap + i);
            d *= siluSlope(pre, sigmoid(pre));
          }
          biasGradient += d;
          for (int64_t k = 0; k < width; k++) {
            const int64_t from = conv.source(b, t, k);
            if (from == Conv::NOTHING) continue;
            float* slot = ring + (from + width) % width * LANES;
            store(slot, load(slot) + d * load(tap + k * BLOCK + i));
            float* sum = dTap + k * BLOCK + i;
            store(sum, load(sum) + d * load(conv.row(b, from) + c, left));
          }
          finish(t - before);
        }
        for (int64_t from = length - before > -before ? length - before : -before; from < length; from++) finish(from);
      }
      store(sumBias + i, biasGradient);
    }
    for (int64_t i = 0; i < BLOCK && c0 + i < channels; i++) {
      for (int64_t k = 0; k < width; k++) dWeight[(c0 + i) * width + k] = dTap[k * BLOCK + i];
      if (dBias) dBias[c0 + i] = sumBias[i];
    }
  });
}
