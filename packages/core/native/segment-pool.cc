// Runs of rows pooled into segments (kernels.md section 6): chunks out of bytes.
#include <vector>

#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

namespace {

/** As numbered in src/kernels/segment-pool/modes.ts. */
enum class Mode { sum, mean, max, min, first, last };

struct Run {
  int64_t from, to, segment;
};

/** The runs of equal ids of all rows of the batch, those of no segment too: `segment` −1. */
std::vector<Run> runsOf(int64_t batch, int64_t length, int64_t segments, const int32_t* ids) {
  std::vector<Run> runs;
  for (int64_t b = 0; b < batch; b++) {
    for (int64_t t = b * length, end = t + length; t < end;) {
      int64_t next = t + 1;
      while (next < end && ids[next] == ids[t]) next++;
      runs.push_back({t, next, ids[t] >= 0 && ids[t] < segments ? b * segments + ids[t] : -1});
      t = next;
    }
  }
  return runs;
}

void extreme(int64_t n, bool isMax, const float* x, float* y) {
  for (int64_t i = 0; i < n; i += LANES) {
    const Vec a = load(x + i, n - i), b = load(y + i, n - i);
    // NaN in either stays.
    store(y + i, select(b != b, b, isMax ? max(a, b) : min(a, b)), n - i);
  }
}

void scale(int64_t n, float f, const float* x, float* y) {
  for (int64_t i = 0; i < n; i += LANES) store(y + i, load(x + i, n - i) * f, n - i);
}

void pool(Mode mode, int64_t rows, int64_t width, const float* x, float* y) {
  copy(width, mode == Mode::last ? x + (rows - 1) * width : x, y);
  if (mode == Mode::first || mode == Mode::last) return;
  for (int64_t r = 1; r < rows; r++) {
    if (mode == Mode::max || mode == Mode::min) extreme(width, mode == Mode::max, x + r * width, y);
    else add(width, x + r * width, y);
  }
  if (mode == Mode::mean) scale(width, 1 / static_cast<float>(rows), y, y);
}

/** max and min split dy evenly among the rows that equal y. */
void poolGrad(Mode mode, int64_t rows, int64_t width, const float* x, const float* y, const float* dy, float* dx) {
  if (mode == Mode::sum || mode == Mode::mean) {
    for (int64_t r = 0; r < rows; r++) scale(width, mode == Mode::sum ? 1 : 1 / static_cast<float>(rows), dy, dx + r * width);
    return;
  }
  zero(rows * width, dx);
  if (mode == Mode::first || mode == Mode::last) {
    copy(width, dy, mode == Mode::last ? dx + (rows - 1) * width : dx);
    return;
  }
  for (int64_t i = 0; i < width; i += LANES) {
    const Vec best = load(y + i, width - i);
    Vec ties{};
    for (int64_t r = 0; r < rows; r++) ties += select(load(x + r * width + i, width - i) == best, splat(1), Vec{});
    const Vec share = load(dy + i, width - i) / ties;
    for (int64_t r = 0; r < rows; r++) store(dx + r * width + i, select(load(x + r * width + i, width - i) == best, share, Vec{}), width - i);
  }
}

/** Runs that a thread takes at a time. */
constexpr int64_t RUNS = 64;

template <class F>
void forRuns(const std::vector<Run>& runs, F&& visit) {
  const int64_t n = static_cast<int64_t>(runs.size());
  parallel((n + RUNS - 1) / RUNS, [&](int64_t task) {
    for (int64_t i = task * RUNS; i < n && i < (task + 1) * RUNS; i++) visit(runs[static_cast<size_t>(i)]);
  });
}

}  // namespace

/** x (B, L, D); ids (B, L) in runs; segments, mode -> (B, segments, D). Empty segments are 0. */
BYTELM_OP(SegmentPool) {
  Shape shape;
  const float* x = call.floats(&shape);
  const int32_t* ids = call.ints();
  const int64_t segments = call.integer(), width = shape[2];
  const Mode mode = static_cast<Mode>(call.integer());
  float* y = call.output({shape[0], segments, width});
  zero(shape[0] * segments * width, y);
  forRuns(runsOf(shape[0], shape[1], segments, ids), [&](const Run& run) {
    if (run.segment >= 0) pool(mode, run.to - run.from, width, x + run.from * width, y + run.segment * width);
  });
}

/** x, y, dy; ids -> dx (B, L, D). */
BYTELM_OP(SegmentPoolGrad) {
  Shape shape;
  const float* x = call.floats(&shape);
  const float* y = call.floats();
  const float* dy = call.floats();
  const int32_t* ids = call.ints();
  const int64_t segments = call.integer(), width = shape[2];
  const Mode mode = static_cast<Mode>(call.integer());
  float* dx = call.output(shape.dims);
  forRuns(runsOf(shape[0], shape[1], segments, ids), [&](const Run& run) {
    float* to = dx + run.from * width;
    if (run.segment < 0) zero((run.to - run.from) * width, to);
    else poolGrad(mode, run.to - run.from, width, x + run.from * width, y + run.segment * width, dy + run.segment * width, to);
  });
}
