// Softmax attention in tiles of 64 x 64 scores (kernels.md section 7): no matrix of all scores, and hidden tiles cost nothing.
#include <cmath>

#include "gemm.h"
#include "mask.h"
#include "pool.h"

using namespace bytelm;

namespace {

/** Queries of a task: some tiles. */
constexpr int64_t BLOCK = 4 * TILE;

void scaleRow(int64_t n, float f, float* x) {
  for (int64_t i = 0; i < n; i += LANES) store(x + i, load(x + i, n - i) * f, n - i);
}

/** Online softmax of one tile: scores become weights, and `acc`, `m`, `l` of each row move to the new maximum. */
void softmaxTile(float* scores, int64_t rows, int64_t columns, float scale, const RowMask* mask, int64_t i0, int64_t j0, float* m, float* l, float* acc, int64_t width) {
  for (int64_t i = 0; i < rows; i++) {
    float* row = scores + i * TILE;
    Vec tops = splat(HIDDEN), bad{};
    for (int64_t j = 0; j < columns; j += LANES) {
      // What lies beyond the last key is hidden by the mask: such a tile is never seen in full.
      Vec x = load(row + j, columns - j) * scale;
      if (mask) x = select(mask->keys(i0 + i, j0 + j), x, splat(HIDDEN));
      store(row + j, x);
      tops = max(tops, x);
      bad += x - x;
    }
    // max loses NaN: a row of nothing else must not look like one without keys.
    const float before = m[i], top = std::max(before, largest(tops));
    if (top <= HIDDEN && sum(bad) == 0) {
      zero(columns, row);
      continue;
    }
    Vec total{};
    for (int64_t j = 0; j < columns; j += LANES) {
      const Vec p = exp(load(row + j) - top);
      store(row + j, p);
      total += p;
    }
    const float shrink = std::exp(before - top);
    l[i] = l[i] * shrink + sum(total);
    if (top != before) {
      m[i] = top;
      scaleRow(width, shrink, acc + i * width);
    }
  }
}

}  // namespace

/** q, k, v; masks -> y (B, Tq, H, Dv), lse (B, H, Tq). */
BYTELM_OP(Attention) {
  const AttentionSizes s(call);
  const float scale = call.number();
  const MaskInputs in(call);
  float* y = call.output({s.batch, s.queries, s.heads, s.valueDim});
  float* lse = call.output({s.batch, s.heads, s.queries});
  std::vector<RowMask> masks;
  for (int64_t b = 0; b < s.batch; b++) masks.emplace_back(in, b, s.queries, s.keys);
  // A long row is several tasks: one prompt with few heads must keep all threads busy.
  const int64_t blocks = (s.queries + BLOCK - 1) / BLOCK;
  parallel(s.batch * s.heads * blocks, [&](int64_t task) {
    const int64_t row = task / blocks, b = row / s.heads, h = row % s.heads, first = task % blocks * BLOCK;
    const RowMask& mask = masks[static_cast<size_t>(b)];
    float* scores = scratch(TILE * TILE + TILE * s.valueDim + 2 * TILE);
    float *acc = scores + TILE * TILE, *m = acc + TILE * s.valueDim, *l = m + TILE;
    for (int64_t i0 = first; i0 < std::min(s.queries, first + BLOCK); i0 += TILE) {
      const int64_t rows = std::min(TILE, s.queries - i0);
      zero(TILE * s.valueDim, acc);
      for (int64_t i = 0; i < TILE; i++) m[i] = HIDDEN, l[i] = 0;
      for (int64_t j0 = 0; j0 < s.keys; j0 += TILE) {
        const Seen seen = mask.tile(i0, j0);
        if (seen == Seen::none) continue;
        const int64_t columns = std::min(TILE, s.keys - j0);
        gemm(rows, columns, s.dim, {s.q + s.qAt(b, h) + i0 * s.qRow, s.qRow, 1}, {s.k + s.kAt(b, h) + j0 * s.kRow, 1, s.kRow}, scores, TILE, false);
        softmaxTile(scores, rows, columns, scale, seen == Seen::all ? nullptr : &mask, i0, j0, m, l, acc, s.valueDim);
        gemm(rows, s.valueDim, columns, {scores, TILE, 1}, {s.v + s.vAt(b, h) + j0 * s.vRow, s.vRow, 1}, acc, s.valueDim, true);
      }
      for (int64_t i = 0; i < rows; i++) {
        // A row without any key gives zeros.
        const bool isEmpty = l[i] == 0;
        if (!isEmpty) scaleRow(s.valueDim, 1 / l[i], acc + i * s.valueDim);
        copy(s.valueDim, acc + i * s.valueDim, y + s.yAt(b, h) + (i0 + i) * s.yRow);
        lse[row * s.queries + i0 + i] = isEmpty ? 0 : m[i] + std::log(l[i]);
      }
    }
  });
}

/** q, k, v, dy, lse, delta; masks -> dq, dk, dv. Weights are made again from lse; five products for every tile that is seen. */
BYTELM_OP(AttentionGrad) {
  const AttentionSizes s(call);
  const float* dy = call.floats();
  const float* lse = call.floats();
  const float* delta = call.floats();
  const float scale = call.number();
  const MaskInputs in(call);
  float* dq = call.output(s.qShape.dims);
  float* dk = call.output(s.kShape.dims);
  float* dv = call.output(s.vShape.dims);
  zero(s.qShape.size(), dq);
  zero(s.kShape.size(), dk);
  zero(s.vShape.size(), dv);
  // The query heads of one key head add to the same gradients: one task.
  parallel(s.batch * s.kvHeads, [&](int64_t task) {
    const int64_t b = task / s.kvHeads;
    const RowMask mask(in, b, s.queries, s.keys);
    float *p = scratch(2 * TILE * TILE), *ds = p + TILE * TILE;
    for (int64_t h = task % s.kvHeads * s.group; h < (task % s.kvHeads + 1) * s.group; h++) {
      const float *lseRow = lse + (b * s.heads + h) * s.queries, *deltaRow = delta + (b * s.heads + h) * s.queries;
      for (int64_t j0 = 0; j0 < s.keys; j0 += TILE) {
        const int64_t columns = std::min(TILE, s.keys - j0), kAt = s.kAt(b, h) + j0 * s.kRow, vAt = s.vAt(b, h) + j0 * s.vRow;
        for (int64_t i0 = 0; i0 < s.queries; i0 += TILE) {
          const Seen seen = mask.tile(i0, j0);
          if (seen == Seen::none) continue;
          const int64_t rows = std::min(TILE, s.queries - i0), qAt = s.qAt(b, h) + i0 * s.qRow, yAt = s.yAt(b, h) + i0 * s.yRow;
          gemm(rows, columns, s.dim, {s.q + qAt, s.qRow, 1}, {s.k + kAt, 1, s.kRow}, p, TILE, false);
          for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < columns; j += LANES) {
              float* at = p + i * TILE + j;
              Vec w = exp(load(at, columns - j) * scale - lseRow[i0 + i]);
              if (seen != Seen::all) w = select(mask.keys(i0 + i, j0 + j), w, Vec{});
              store(at, w, columns - j);
            }
          }
          const Matrix weights{p, TILE, 1}, scores{ds, TILE, 1};
          gemm(columns, s.valueDim, rows, weights.transposed(), {dy + yAt, s.yRow, 1}, dv + vAt, s.vRow, true);
          gemm(rows, columns, s.valueDim, {dy + yAt, s.yRow, 1}, {s.v + vAt, 1, s.vRow}, ds, TILE, false);
          for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < columns; j += LANES) {
              float* at = ds + i * TILE + j;
              store(at, load(p + i * TILE + j, columns - j) * scale * (load(at, columns - j) - deltaRow[i0 + i]), columns - j);
            }
          }
          gemm(rows, s.dim, columns, scores, {s.k + kAt, s.kRow, 1}, dq + qAt, s.qRow, true);
          gemm(columns, s.dim, rows, scores.transposed(), {s.q + qAt, s.qRow, 1}, dk + kAt, s.kRow, true);
        }
      }
    }
  });
}
