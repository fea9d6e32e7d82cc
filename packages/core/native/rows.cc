// Rows taken out of, added into, cut and joined (kernels.md sections 5 and 11).
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

namespace {

bool isInside(int32_t row, int64_t rows) { return row >= 0 && row < rows; }

}  // namespace

/** x (B, M, D); idx (B, L) -> (B, L, D); zeros where idx is outside 0..M-1. */
BYTELM_OP(GatherRows) {
  Shape x, idx;
  const float* from = call.floats(&x);
  const int32_t* index = call.ints(&idx);
  const int64_t rows = x[1], width = x[2], length = idx[1];
  float* y = call.output({x[0], length, width});
  parallelRanges(x[0] * length, 2 * width, [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
      if (isInside(index[i], rows)) copy(width, from + (i / length * rows + index[i]) * width, y + i * width);
      else zero(width, y + i * width);
    }
  });
}

/** values (B, L, D); idx (B, L); number of rows -> (B, rows, D). Tasks own columns, so that every sum has one order. */
BYTELM_OP(ScatterAddRows) {
  Shape shape;
  const float* values = call.floats(&shape);
  const int32_t* index = call.ints();
  const int64_t rows = call.integer(), length = shape[1], width = shape[2];
  constexpr int64_t COLUMNS = 4 * LANES;
  const int64_t blocks = (width + COLUMNS - 1) / COLUMNS;
  float* y = call.output({shape[0], rows, width});
  parallel(shape[0] * blocks, [&](int64_t task) {
    const int64_t b = task / blocks, c = task % blocks * COLUMNS, n = width - c < COLUMNS ? width - c : COLUMNS;
    float* to = y + b * rows * width + c;
    for (int64_t r = 0; r < rows; r++) zero(n, to + r * width);
    for (int64_t l = 0; l < length; l++) {
      const int32_t row = index[b * length + l];
      if (isInside(row, rows)) add(n, values + (b * length + l) * width + c, to + row * width);
    }
  });
}

/** x (..., D); widths of the parts -> the parts of its last axis. */
BYTELM_OP(SplitLast) {
  Shape shape;
  const float* x = call.floats(&shape);
  const int64_t parts = call.integer(), width = shape[-1], rows = width ? shape.size() / width : 0;
  std::vector<int64_t> widths;
  std::vector<float*> to;
  for (int64_t p = 0; p < parts; p++) {
    std::vector<int64_t> dims = shape.dims;
    widths.push_back(dims.back() = call.integer());
    to.push_back(call.output(dims));
  }
  parallelRanges(rows, 2 * width, [&](int64_t first, int64_t end) {
    for (int64_t r = first; r < end; r++) {
      const float* from = x + r * width;
      for (size_t p = 0; p < to.size(); p++) {
        copy(widths[p], from, to[p] + r * widths[p]);
        from += widths[p];
      }
    }
  });
}

/** Parts (..., D_p) -> one tensor (..., sum of D_p). */
BYTELM_OP(JoinLast) {
  const int64_t parts = call.integer();
  std::vector<const float*> from;
  std::vector<int64_t> widths;
  Shape first;
  int64_t width = 0;
  for (int64_t p = 0; p < parts; p++) {
    Shape shape;
    from.push_back(call.floats(&shape));
    widths.push_back(shape[-1]);
    width += shape[-1];
    if (p == 0) first = shape;
  }
  const int64_t rows = widths[0] ? first.size() / widths[0] : 0;
  first.dims.back() = width;
  float* y = call.output(first.dims);
  parallelRanges(rows, 2 * width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      float* to = y + r * width;
      for (size_t p = 0; p < from.size(); p++) {
        copy(widths[p], from[p] + r * widths[p], to);
        to += widths[p];
      }
    }
  });
}
