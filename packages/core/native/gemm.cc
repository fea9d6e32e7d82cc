#include "gemm.h"

#include "pool.h"
#include "vec.h"

namespace bytelm {
namespace {

/** Rows of the register tile: 8 x 2 vectors of the 32 that AVX-512 has, 4 x 2 of 16 elsewhere. */
constexpr int MAX_ROWS = LANES == 16 ? 8 : 4;
constexpr int64_t PANEL = 2 * LANES;

/** R rows by V vectors of C; `left` columns exist. */
template <int R, int V>
inline void tile(int64_t k, Matrix a, const float* b, int64_t brow, float* c, int64_t ldc, int64_t left, bool accumulate) {
  Vec sum[R][V] = {};
  const float *ap = a.data;
  for (int64_t i = 0; i < k; i++) {
    Vec bv[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) bv[v] = load(b + v * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const Vec x = splat(ap[r * a.row]);
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) sum[r][v] += x * bv[v];
    }
    ap += a.column;
    b += brow;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      float* to = c + r * ldc + v * LANES;
      const int64_t n = left - v * LANES;
      store(to, accumulate ? load(to, n) + sum[r][v] : sum[r][v], n);
    }
  }
}

template <int R, int V>
int64_t rows(int64_t m, int64_t i, int64_t k, Matrix a, const float* b, int64_t brow, float* c, int64_t ldc, int64_t left, bool accumulate) {
  for (; i + R <= m; i += R) tile<R, V>(k, {a.data + i * a.row, a.row, a.column}, b, brow, c + i * ldc, ldc, left, accumulate);
  return i;
}

template <int V>
void panel(int64_t m, int64_t k, Matrix a, const float* b, int64_t brow, float* c, int64_t ldc, int64_t left, bool accumulate) {
  int64_t i = rows<MAX_ROWS, V>(m, 0, k, a, b, brow, c, ldc, left, accumulate);
  i = rows<4, V>(m, i, k, a, b, brow, c, ldc, left, accumulate);
  i = rows<2, V>(m, i, k, a, b, brow, c, ldc, left, accumulate);
  rows<1, V>(m, i, k, a, b, brow, c, ldc, left, accumulate);
}

/** Columns j.. of B, zero-padded to `width` floats a row. */
void pack(int64_t k, int64_t columns, int64_t width, const float* b, int64_t brow, int64_t bcolumn, float* to) {
  for (int64_t i = 0; i < k; i++) for (int64_t j = columns; j < width; j++) to[i * width + j] = 0;
  if (bcolumn == 1) {
    for (int64_t i = 0; i < k; i++) copy(columns, b + i * brow, to + i * width);
    return;
  }
  // Four columns at a time: whole lines of the source are read once.
  int64_t j = 0;
  for (; j + 4 <= columns; j += 4) {
    const float *x = b + j * bcolumn, *y = x + bcolumn, *z = y + bcolumn, *w = z + bcolumn;
    for (int64_t i = 0; i < k; i++) {
      float* p = to + i * width + j;
      p[0] = x[i * brow], p[1] = y[i * brow], p[2] = z[i * brow], p[3] = w[i * brow];
    }
  }
  for (; j < columns; j++) for (int64_t i = 0; i < k; i++) to[i * width + j] = b[i * brow + j * bcolumn];
}

}  // namespace

void gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc, bool accumulate) {
  for (int64_t j = 0; j < n; j += PANEL) {
    const int64_t left = n - j;
    const int64_t width = left > LANES ? PANEL : LANES;
    const float* from = b.data + j * b.column;
    int64_t brow = b.row;
    if (b.column != 1 || left < width) {
      float* packed = scratch(k * width, 3);
      pack(k, left < width ? left : width, width, from, b.row, b.column, packed);
      from = packed;
      brow = width;
    }
    if (width == PANEL) panel<2>(m, k, a, from, brow, c + j, ldc, left, accumulate);
    else panel<1>(m, k, a, from, brow, c + j, ldc, left, accumulate);
  }
}

}  // namespace bytelm
