// Cross-entropy of rows of logits (kernels.md section 7).
#include "log-sum-exp.h"
#include "op.h"
#include "pool.h"
#include "vec.h"

#include <vector>

using namespace bytelm;

/** logits (N, V), labels (N); ignored label, weight of the squared normalizer, mean? -> losses (N), 0 for ignored rows, or their mean (). */
BYTELM_OP(CrossEntropy) {
  Shape shape;
  const float* logits = call.floats(&shape);
  const int32_t* labels = call.ints();
  const int64_t ignored = call.integer(), rows = shape[0], width = shape[1];
  const float zLoss = call.number();
  const bool isMean = call.flag();
  float* y = isMean ? call.output({}) : call.output({rows});
  std::vector<float> own(static_cast<size_t>(isMean ? rows : 0));
  float* losses = isMean ? own.data() : y;
  parallelRanges(rows, 4 * width, [&](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      losses[r] = 0;
      if (labels[r] == ignored) continue;
      const float* x = logits + r * width;
      const float lse = normalizer(x, width);
      // A label outside the classes picks nothing, as in the portable form.
      const float picked = labels[r] >= 0 && labels[r] < width ? x[labels[r]] : largestOf(x, width);
      losses[r] = lse - picked + zLoss * lse * lse;
    }
  });
  if (!isMean) return;
  double total = 0;
  int64_t counted = 0;
  for (int64_t r = 0; r < rows; r++) {
    total += losses[r];
    counted += labels[r] != ignored;
  }
  y[0] = static_cast<float>(total / static_cast<double>(counted ? counted : 1));
}

/** logits (N, V), labels (N), dloss (N) or (); ignored label, weight of the squared normalizer, mean? -> dlogits (N, V). */
BYTELM_OP(CrossEntropyGrad) {
  Shape shape;
  const float* logits = call.floats(&shape);
  const float* dloss = call.floats();
  const int32_t* labels = call.ints();
  const int64_t ignored = call.integer(), rows = shape[0], width = shape[1];
  const float zLoss = call.number();
  const bool isMean = call.flag();
  float* dx = call.output(shape.dims);
  int64_t counted = 0;
  for (int64_t r = 0; r < rows; r++) counted += labels[r] != ignored;
  const float each = isMean ? dloss[0] / static_cast<float>(counted ? counted : 1) : 0;
  parallelRanges(rows, 6 * width, [&](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      float* d = dx + r * width;
      const float scale = labels[r] == ignored ? 0 : isMean ? each : dloss[r];
      if (scale == 0) {
        zero(width, d);
        continue;
      }
      const float* x = logits + r * width;
      const float lse = normalizer(x, width), factor = scale * (1 + 2 * zLoss * lse);
      for (int64_t i = 0; i < width; i += LANES) store(d + i, factor * exp(load(x + i, width - i, LOWEST) - lse), width - i);
      if (labels[r] >= 0 && labels[r] < width) d[labels[r]] -= scale;
    }
  });
}
