// Matrix products of the sizes that scans and attention have: everything stays in the second cache.
#pragma once
#include <cstdint>

namespace bytelm {

/** A matrix in memory: element (i, j) at `data[i * row + j * column]`, so transposes and slices cost nothing. */
struct Matrix {
  const float* data;
  int64_t row, column;
  Matrix transposed() const { return {data, column, row}; }
};

/**
 * C = A B, or C += A B when `accumulate`: C is m x n with rows `ldc` apart and adjacent columns, A is m x k, B is k x n. C must not overlap A
 * or B. Runs on the calling thread; uses scratch slot 3.
 */
void gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc, bool accumulate);

}  // namespace bytelm
