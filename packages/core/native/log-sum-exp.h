// log sum exp of rows of logits, for what is made of their softmax.
#pragma once

#include "vec.h"

#include <cmath>

namespace bytelm {

/** Stands beyond the end of a row: no maximum, and nothing to a sum of exponentials. */
constexpr float LOWEST = -3.4e38f;

inline float largestOf(const float* x, int64_t width) {
  Vec most = splat(LOWEST);
  for (int64_t i = 0; i < width; i += LANES) most = max(most, load(x + i, width - i, LOWEST));
  return largest(most);
}

/** log sum exp of a row. */
inline float normalizer(const float* x, int64_t width) {
  const float top = largestOf(x, width);
  Vec total{};
  for (int64_t i = 0; i < width; i += LANES) total += exp(load(x + i, width - i, LOWEST) - top);
  return top + std::log(sum(total));
}

}  // namespace bytelm
