// LayerNorm of each head's values, times a weight a channel, times the open output gate.
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

namespace {

struct Head {
  float mean, inverse;
};

Head measure(int64_t n, const float* x, float eps) {
  Vec total{}, squares{};
  for (int64_t i = 0; i < n; i += LANES) total += load(x + i, n - i);
  const float mean = sum(total) / static_cast<float>(n);
  for (int64_t i = 0; i < n; i += LANES) {
    // Lanes behind the head take the mean: they must not enter its variance.
    const Vec c = load(x + i, n - i, mean) - mean;
    squares += c * c;
  }
  return {mean, 1.0f / std::sqrt(sum(squares) / static_cast<float>(n) + eps)};
}

}  // namespace

/** h (rows, H, V), gate (rows, H*V), weight (H*V) -> y (rows, H*V). */
BYTELM_OP(MlstmHeadNorm) {
  Shape hShape, gateShape;
  const float *h = call.floats(&hShape), *gate = call.floats(&gateShape), *weight = call.floats();
  const float eps = call.number();
  const int64_t heads = hShape[1], size = hShape[2];
  float* y = call.output(gateShape.dims);
  parallelRanges(hShape[0] * heads, 3 * size, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; row++) {
      const int64_t at = row * size;
      const float* w = weight + row % heads * size;
      const Head head = measure(size, h + at, eps);
      for (int64_t i = 0; i < size; i += LANES) {
        const int64_t left = size - i;
        store(y + at + i, (load(h + at + i, left) - head.mean) * head.inverse * load(w + i, left) * sigmoid(load(gate + at + i, left)), left);
      }
    }
  });
}

/** h, gate, weight, dy -> dh, dgate, dweight. */
BYTELM_OP(MlstmHeadNormGrad) {
  Shape hShape, gateShape;
  const float *h = call.floats(&hShape), *gate = call.floats(&gateShape), *weight = call.floats(), *dy = call.floats();
  const float eps = call.number();
  const int64_t heads = hShape[1], size = hShape[2], width = heads * size;
  float* dh = call.output(hShape.dims);
  float* dGate = call.output(gateShape.dims);
  float* dWeight = call.output({width});
  parallelSum(hShape[0], width, dWeight, [&](int64_t from, int64_t to, float* partial) {
    for (int64_t row = from; row < to; row++) {
      for (int64_t x = 0; x < heads; x++) {
        const int64_t at = row * width + x * size;
        const float* w = weight + x * size;
        float* dw = partial + x * size;
        const Head head = measure(size, h + at, eps);
        // dh holds the gradient of the normalized values until the second pass.
        Vec total{}, products{};
        for (int64_t i = 0; i < size; i += LANES) {
          const int64_t left = size - i;
          const Vec normed = (load(h + at + i, left) - head.mean) * head.inverse;
          const Vec open = sigmoid(load(gate + at + i, left)), opened = load(dy + at + i, left) * open, d = opened * load(w + i, left);
          total += d;
          products += d * normed;
          store(dw + i, load(dw + i, left) + opened * normed, left);
          store(dGate + at + i, d * normed * (1.0f - open), left);
          store(dh + at + i, d, left);
        }
        const float shift = sum(total) / static_cast<float>(size), pull = sum(products) / static_cast<float>(size);
        for (int64_t i = 0; i < size; i += LANES) {
          const int64_t left = size - i;
          const Vec normed = (load(h + at + i, left) - head.mean) * head.inverse;
          store(dh + at + i, (load(dh + at + i, left) - shift - normed * pull) * head.inverse, left);
        }
      }
    }
  });
}
