// AdamW and the squared norm for clipping (kernels.md section 13).
#include <cmath>

#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

/** param, m, v, grad, scale? -> the new param, m, v: m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2, p = keep p - rate m / (root sqrt(v) + eps). */
BYTELM_OP(AdamW) {
  Shape shape;
  const float* param = call.floats(&shape);
  const float* m = call.floats();
  const float* v = call.floats();
  const float* grad = call.floats();
  const float* scale = call.floats();
  const float keep = call.number(), beta1 = call.number(), rest1 = call.number(), beta2 = call.number(), rest2 = call.number();
  const float rate = call.number(), root = call.number(), eps = call.number();
  const float factor = scale ? *scale : 1;
  float* nextParam = call.output(shape.dims);
  float* nextM = call.output(shape.dims);
  float* nextV = call.output(shape.dims);
  parallelRanges(shape.size(), 7, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
      const float g = grad[i] * factor;
      const float m1 = m[i] * beta1 + g * rest1, v1 = v[i] * beta2 + g * g * rest2;
      nextM[i] = m1;
      nextV[i] = v1;
      nextParam[i] = param[i] * keep - m1 * rate / (std::sqrt(v1) * root + eps);
    }
  });
}

/** x, sum? -> sum + Σx². */
BYTELM_OP(SumSquares) {
  Shape shape;
  const float* x = call.floats(&shape);
  const float* before = call.floats();
  float* out = call.output({});
  const int64_t n = shape.size(), step = GRAIN, blocks = (n + step - 1) / step;
  std::vector<float> partials(static_cast<size_t>(blocks));
  parallel(blocks, [&](int64_t b) {
    const float* from = x + b * step;
    const int64_t count = n - b * step < step ? n - b * step : step;
    partials[static_cast<size_t>(b)] = dot(count, from, from);
  });
  double total = before ? *before : 0;
  for (float p : partials) total += p;
  *out = static_cast<float>(total);
}
