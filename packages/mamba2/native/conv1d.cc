// Causal depthwise convolution over time and its gradients (kernels.md section 2). x, y (B, L, C); weight (C, K).
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

namespace {

/** Channels that are worked on at a time: the rows of all taps stay in the first cache. */
constexpr int64_t COLUMNS = 256;
/** Rows of time of one task. */
constexpr int64_t STEPS = 64;

struct Conv {
  Shape x, w;
  const float *input, *weight, *bias, *history;
  const int32_t *ids, *lengths;
  int64_t batch, length, channels, width;
  bool isSilu;
  /** Weights by tap, (K, C), and a row of zeros. */
  std::vector<float> taps, zeros;

  explicit Conv(Call& call) {
    input = call.floats(&x);
    weight = call.floats(&w);
    bias = call.floats();
    history = call.floats();
    ids = call.ints();
    lengths = call.ints();
    isSilu = call.flag();
    batch = x[0], length = x[1], channels = x[2], width = w[1];
    taps.resize(static_cast<size_t>(width * channels));
    zeros.resize(static_cast<size_t>(channels));
    for (int64_t c = 0; c < channels; c++) for (int64_t k = 0; k < width; k++) taps[static_cast<size_t>(k * channels + c)] = weight[c * width + k];
  }
  int64_t blocks() const { return (length + STEPS - 1) / STEPS; }
  int64_t end(int64_t b) const { return lengths ? lengths[b] : length; }

  /** Whether position t may see position `from`; negative ones are history, which belongs to document 0. */
  bool sees(int64_t b, int64_t t, int64_t from) const {
    return (!ids || ids[b * length + t] == (from >= 0 ? ids[b * length + from] : 0)) && (from >= 0 || history);
  }
  const float* row(int64_t b, int64_t from) const {
    return from >= 0 ? input + (b * length + from) * channels : history + (b * (width - 1) + from + width - 1) * channels;
  }
  /** The rows that the taps of position t read. */
  void rows(int64_t b, int64_t t, const float** to) const {
    for (int64_t k = 0; k < width; k++) {
      const int64_t from = t - width + 1 + k;
      to[k] = sees(b, t, from) ? row(b, from) : zeros.data();
    }
  }
  template <int K>
  Vec preActivation(const float* const* rows, int64_t c, int64_t left) const {
    Vec pre = bias ? load(bias + c, left) : Vec{};
    for (int64_t k = 0; k < (K ? K : width); k++) pre += load(taps.data() + k * channels + c, left) * load(rows[k] + c, left);
    return pre;
  }
};

template <int K>
void forward(const Conv& conv, float* y) {
  const int64_t channels = conv.channels;
  parallel(conv.batch * conv.blocks(), [&](int64_t task) {
    const int64_t b = task / conv.blocks(), t0 = task % conv.blocks() * STEPS;
    std::vector<const float*> rows(static_cast<size_t>(conv.width));
    for (int64_t t = t0; t < t0 + STEPS && t < conv.length; t++) {
      conv.rows(b, t, rows.data());
      float* out = y + (b * conv.length + t) * channels;
      for (int64_t c = 0; c < channels; c += LANES) {
        const Vec pre = conv.preActivation<K>(rows.data(), c, channels - c);
        store(out + c, conv.isSilu ? silu(pre) : pre, channels - c);
      }
    }
  });
}

/** dx and dHistory, and per task the sums for the weights and the bias, (K + 1, C). */
template <int K>
void backward(const Conv& conv, const float* dy, const float* dLast, float* dx, float* dHistory, float* sums) {
  const int64_t channels = conv.channels, width = conv.width, length = conv.length, before = width - 1;
  parallel(conv.batch * conv.blocks(), [&](int64_t task) {
    const int64_t b = task / conv.blocks(), t0 = task % conv.blocks() * STEPS, t1 = t0 + STEPS < length ? t0 + STEPS : length;
    std::vector<const float*> rows(static_cast<size_t>(width));
    // Gradients of the last K pre-activations: what one input row needs.
    float* ring = scratch(width * channels);
    float* sum = sums + task * (width + 1) * channels;
    zero((width + 1) * channels, sum);
    const auto finish = [&](int64_t from, int64_t c0, int64_t c1) {
      const int64_t kept = from - (conv.end(b) - before);
      const float* last = dLast && kept >= 0 && kept < before ? dLast + (b * before + kept) * channels : nullptr;
      float* to = from >= 0 ? dx + (b * length + from) * channels : dHistory ? dHistory + (b * before + from + before) * channels : nullptr;
      if (!to) return;
      for (int64_t c = c0; c < c1; c += LANES) {
        Vec d = last ? load(last + c, channels - c) : Vec{};
        for (int64_t k = 0; k < (K ? K : width); k++) {
          const int64_t t = from + before - k;
          if (t >= 0 && t < length && conv.sees(b, t, from)) d += load(ring + t % width * channels + c, channels - c) * load(conv.taps.data() + k * channels + c, channels - c);
        }
        store(to + c, d, channels - c);
      }
    };
    for (int64_t c0 = 0; c0 < channels; c0 += COLUMNS) {
      const int64_t c1 = c0 + COLUMNS < channels ? c0 + COLUMNS : channels;
      for (int64_t t = t0; t < t1 + before && t < length; t++) {
        conv.rows(b, t, rows.data());
        const float* dRow = dy + (b * length + t) * channels;
        float* ringRow = ring + t % width * channels;
        // Rows after the block belong to the next one: only their gradient is needed here.
        const bool isOwn = t < t1;
        for (int64_t c = c0; c < c1; c += LANES) {
          const int64_t left = channels - c;
          Vec d = load(dRow + c, left);
          if (conv.isSilu) {
            const Vec pre = conv.preActivation<K>(rows.data(), c, left);
            d *= siluSlope(pre, sigmoid(pre));
          }
          store(ringRow + c, d, left);
          if (!isOwn) continue;
          for (int64_t k = 0; k < (K ? K : width); k++) {
            float* s = sum + k * channels + c;
            store(s, load(s, left) + d * load(rows[static_cast<size_t>(k)] + c, left), left);
          }
          float* s = sum + width * channels + c;
          store(s, load(s, left) + d, left);
        }
        const int64_t from = t - before;
        if (from >= t0 || t0 == 0) finish(from, c0, c1);
      }
      // The rows at the end of the sequence, which no later position completes.
      if (t1 + before > length) for (int64_t from = length - before > (t0 ? t0 : -before) ? length - before : (t0 ? t0 : -before); from < t1; from++) finish(from, c0, c1);
    }
  });
}

}  // namespace

/** x, weight, bias?, history? (B, K-1, C); ids?, lengths? -> y, last state? */
BYTELM_OP(CausalConv1d) {
  const Conv conv(call);
  const bool returnState = call.flag();
  float* y = call.output(conv.x.dims);
  float* last = returnState ? call.output({conv.batch, conv.width - 1, conv.channels}) : nullptr;
  (conv.width == 4 ? forward<4> : forward<0>)(conv, y);
  if (!last) return;
  const int64_t before = conv.width - 1;
  for (int64_t b = 0; b < conv.batch; b++) {
    for (int64_t i = 0; i < before; i++) {
      const int64_t from = conv.end(b) - before + i;
      float* to = last + (b * before + i) * conv.channels;
      if (from >= 0 || conv.history) copy(conv.channels, conv.row(b, from), to);
      else zero(conv.channels, to);
    }
  }
}

/** The same inputs, dy, dLast? -> dx, dWeight, dBias?, dHistory? */
BYTELM_OP(CausalConv1dGrad) {
  const Conv conv(call);
  const float* dy = call.floats();
  const float* dLast = call.floats();
  const int64_t width = conv.width, channels = conv.channels, tasks = conv.batch * conv.blocks();
  float* dx = call.output(conv.x.dims);
  float* dWeight = call.output(conv.w.dims);
  float* dBias = conv.bias ? call.output({channels}) : nullptr;
  float* dHistory = conv.history ? call.output({conv.batch, width - 1, channels}) : nullptr;
  std::vector<float> sums(static_cast<size_t>((tasks + 1) * (width + 1) * channels));
  (width == 4 ? backward<4> : backward<0>)(conv, dy, dLast, dx, dHistory, sums.data());
  float* total = sums.data() + tasks * (width + 1) * channels;
  for (int64_t i = 0; i < tasks; i++) add((width + 1) * channels, sums.data() + i * (width + 1) * channels, total);
  for (int64_t c = 0; c < channels; c++) {
    for (int64_t k = 0; k < width; k++) dWeight[c * width + k] = total[k * channels + c];
    if (dBias) dBias[c] = total[width * channels + c];
  }
}
