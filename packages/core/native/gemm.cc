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

/** One panel of columns; `packed` holds the full groups of rows of A, or is null. */
template <int V>
void panel(int64_t m, int64_t k, Matrix a, const float* packed, const float* b, int64_t brow, float* c, int64_t ldc, int64_t left, bool accumulate) {
  int64_t i = 0;
  if (packed) for (; i + MAX_ROWS <= m; i += MAX_ROWS) tile<MAX_ROWS, V>(k, {packed + i * k, 1, MAX_ROWS}, b, brow, c + i * ldc, ldc, left, accumulate);
  else i = rows<MAX_ROWS, V>(m, 0, k, a, b, brow, c, ldc, left, accumulate);
  i = rows<4, V>(m, i, k, a, b, brow, c, ldc, left, accumulate);
  i = rows<2, V>(m, i, k, a, b, brow, c, ldc, left, accumulate);
  rows<1, V>(m, i, k, a, b, brow, c, ldc, left, accumulate);
}

/** Lanes of a two-vector shuffle that swaps blocks of `s` across the diagonal: the first or the second row of a butterfly. */
template <int S, bool Second>
constexpr IntVec butterfly() {
  IntVec m{};
  for (int i = 0; i < LANES; i++) m[i] = Second ? (i & S ? LANES + i : i + S) : (i & S ? LANES + i - S : i);
  return m;
}

template <int S>
inline void swapBlocks(Vec* rows) {
  for (int i = 0; i < LANES; i++) {
    if (i & S) continue;
    const Vec a = rows[i], b = rows[i + S];
    rows[i] = __builtin_shuffle(a, b, butterfly<S, false>());
    rows[i + S] = __builtin_shuffle(a, b, butterfly<S, true>());
  }
}

/** to[i, j] = from[j, i] for LANES x LANES values; rows `fromRow` and `toRow` floats apart. */
inline void transposeBlock(const float* from, int64_t fromRow, float* to, int64_t toRow) {
  Vec rows[LANES];
  for (int i = 0; i < LANES; i++) rows[i] = load(from + i * fromRow);
  swapBlocks<1>(rows);
  swapBlocks<2>(rows);
  swapBlocks<4>(rows);
  if constexpr (LANES == 16) swapBlocks<8>(rows);
  for (int i = 0; i < LANES; i++) store(to + i * toRow, rows[i]);
}

/** The first `columns` columns of B, zero-padded to `width` floats a row. */
void pack(int64_t k, int64_t columns, int64_t width, Matrix b, float* to) {
  if (columns < width) for (int64_t i = 0; i < k; i++) for (int64_t j = columns; j < width; j++) to[i * width + j] = 0;
  if (b.column == 1) {
    for (int64_t i = 0; i < k; i++) for (int64_t j = 0; j < columns; j += LANES) store(to + i * width + j, load(b.data + i * b.row + j, columns - j), columns - j);
    return;
  }
  int64_t done = 0;
  if (b.row == 1) {
    for (; done + LANES <= columns; done += LANES) {
      const float* from = b.data + done * b.column;
      int64_t i = 0;
      for (; i + LANES <= k; i += LANES) transposeBlock(from + i, b.column, to + i * width + done, width);
      for (; i < k; i++) for (int64_t j = 0; j < LANES; j++) to[i * width + done + j] = from[j * b.column + i];
    }
  }
  for (int64_t i = 0; i < k; i++) for (int64_t j = done; j < columns; j++) to[i * width + j] = b.data[i * b.row + j * b.column];
}

/** Rows of A by groups of MAX_ROWS for an A whose columns are adjacent: element (i, j) of a group at `MAX_ROWS j + i`. */
void packRows(int64_t m, int64_t k, Matrix a, float* to) {
  for (int64_t i = 0; i + MAX_ROWS <= m; i += MAX_ROWS, to += MAX_ROWS * k)
    for (int64_t j = 0; j < k; j++) std::memcpy(to + j * MAX_ROWS, a.data + i + j * a.column, MAX_ROWS * 4);
}

}  // namespace

void gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc, bool accumulate) {
  // Rows far apart fall into few sets of the cache: worth a copy when it is read often.
  const bool isWide = b.row > 4 * PANEL && m >= 2 * MAX_ROWS;
  const bool packsA = a.row == 1 && a.column != 1 && n > LANES;
  float* space = scratch(k * PANEL + (packsA ? (m + MAX_ROWS) * k : 0), 3);
  float* packedA = space + k * PANEL;
  if (packsA) packRows(m, k, a, packedA);
  for (int64_t j = 0; j < n; j += PANEL) {
    const int64_t left = n - j;
    const int64_t width = left > LANES ? PANEL : LANES;
    Matrix from{b.data + j * b.column, b.row, b.column};
    if (b.column != 1 || left < width || isWide) {
      pack(k, left < width ? left : width, width, from, space);
      from = {space, width, 1};
    }
    if (width == PANEL) panel<2>(m, k, a, packsA ? packedA : nullptr, from.data, from.row, c + j, ldc, left, accumulate);
    else panel<1>(m, k, a, packsA ? packedA : nullptr, from.data, from.row, c + j, ldc, left, accumulate);
  }
}

}  // namespace bytelm
