// Rotary positions (kernels.md section 8): pairs of channels turned by the table row of their position.
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

/** x (B, T, H, D), cos and sin (rows, half); positions? (B, T), table rows, else offset + index -> y. `sign` -1 turns back. */
BYTELM_OP(Rotary) {
  Shape shape, table;
  const float* x = call.floats(&shape);
  const float* cos = call.floats(&table);
  const float* sin = call.floats();
  const int32_t* positions = call.ints();
  const bool isInterleaved = call.flag();
  const float sign = call.number();
  const int64_t offset = call.integer();
  const int64_t length = shape[1], heads = shape[2], dim = shape[3], half = table[1];
  float* y = call.output(shape.dims);
  for (int64_t i = 0; positions && i < shape[0] * length; i++) {
    if (positions[i] < 0 || positions[i] >= table[0]) throw BadCall("rotary: position " + std::to_string(positions[i]) + " is outside the table of " + std::to_string(table[0]) + " rows");
  }
  parallelRanges(shape[0] * length, 2 * heads * dim, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
      const int64_t row = (positions ? positions[i] : offset + i % length) * half;
      for (int64_t h = 0; h < heads; h++) {
        const float* in = x + (i * heads + h) * dim;
        float* out = y + (i * heads + h) * dim;
        if (isInterleaved) {
          for (int64_t j = 0; j < half; j++) {
            const float a = in[2 * j], b = in[2 * j + 1], c = cos[row + j], s = sin[row + j] * sign;
            out[2 * j] = a * c - b * s;
            out[2 * j + 1] = a * s + b * c;
          }
        } else {
          for (int64_t j = 0; j < half; j += LANES) {
            const int64_t left = half - j;
            const Vec a = load(in + j, left), b = load(in + half + j, left), c = load(cos + row + j, left), s = load(sin + row + j, left) * sign;
            store(out + j, a * c - b * s, left);
            store(out + half + j, a * s + b * c, left);
          }
        }
        copy(dim - 2 * half, in + 2 * half, out + 2 * half);
      }
    }
  });
}
