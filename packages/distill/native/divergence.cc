// Divergence of a softmax from a given distribution.
#include "log-sum-exp.h"
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

/** logits (N, V), targets (N, V) -> sum t (log t - log softmax) (N). */
BYTELM_OP(DistributionDivergence) {
  Shape shape;
  const float* logits = call.floats(&shape);
  const float* targets = call.floats();
  const int64_t rows = shape[0], width = shape[1];
  float* y = call.output({rows});
  parallelRanges(rows, 8 * width, [&](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      const float *x = logits + r * width, *t = targets + r * width;
      const float lse = normalizer(x, width);
      Vec total{};
      for (int64_t i = 0; i < width; i += LANES) {
        const Vec p = load(t + i, width - i);
        total += p * (log(max(p, splat(1e-30f))) - (load(x + i, width - i) - lse));
      }
      y[r] = sum(total);
    }
  });
}

/** logits, targets (N, V), dy (N) -> dlogits (N, V). */
BYTELM_OP(DistributionDivergenceGrad) {
  Shape shape;
  const float* logits = call.floats(&shape);
  const float* targets = call.floats();
  const float* dy = call.floats();
  const int64_t rows = shape[0], width = shape[1];
  float* dx = call.output(shape.dims);
  parallelRanges(rows, 8 * width, [&](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      const float *x = logits + r * width, *t = targets + r * width;
      if (dy[r] == 0) {
        zero(width, dx + r * width);
        continue;
      }
      const float lse = normalizer(x, width);
      Vec all{};
      for (int64_t i = 0; i < width; i += LANES) all += load(t + i, width - i);
      const float total = sum(all), d = dy[r];
      for (int64_t i = 0; i < width; i += LANES) {
        const Vec p = exp(load(x + i, width - i) - lse);
        store(dx + r * width + i, d * (total * p - load(t + i, width - i)), width - i);
      }
    }
  });
}
