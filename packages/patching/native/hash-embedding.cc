// Sums of one row of each of several tables, and their gradients (blt.md section 4).
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

namespace {

/** One table, or a piece of one. */
struct Source {
  const float* from = nullptr;
  int64_t table = 0, start = 0, rows = 0;
};

struct Indices {
  const int32_t *ids, *buckets;
  int64_t count;

  explicit Indices(Call& call) {
    Shape shape;
    ids = call.ints(&shape);
    buckets = call.ints();
    count = shape[0];
  }
  const int32_t* of(const Source& s) const { return s.table < 0 ? ids : buckets + s.table * count; }
};

}  // namespace

/** count tables (rows, D); ids (N), buckets (T, N); count, then table and first row of each -> (N, D). */
BYTELM_OP(HashEmbedding) {
  std::vector<Source> sources(static_cast<size_t>(call.integer()));
  int64_t width = 0;
  for (Source& s : sources) {
    Shape shape;
    s.from = call.floats(&shape);
    s.rows = shape[0];
    width = shape[1];
    s.table = call.integer();
    s.start = call.integer();
  }
  const Indices indices(call);
  float* y = call.output({indices.count, width});
  parallelRanges(indices.count, width * static_cast<int64_t>(sources.size() + 1), [&](int64_t first, int64_t end) {
    for (int64_t n = first; n < end; n++) {
      float* to = y + n * width;
      zero(width, to);
      for (const Source& s : sources) {
        const int64_t row = indices.of(s)[n] - s.start;
        if (row >= 0 && row < s.rows) add(width, s.from + row * width, to);
      }
    }
  });
}

/** dy (N, D); ids (N), buckets (T, N); count, then table, first row and rows of each -> their gradients. Tasks own rows: every sum has one order. */
BYTELM_OP(HashEmbeddingGrad) {
  Shape shape;
  const float* dy = call.floats(&shape);
  const int64_t width = shape[1];
  const Indices indices(call);
  struct Task {
    Source source;
    float* to;
    int64_t first, end;
  };
  constexpr int64_t BLOCKS = 32;
  std::vector<Task> tasks;
  for (int64_t left = call.integer(); left > 0; left--) {
    Source s;
    s.table = call.integer();
    s.start = call.integer();
    s.rows = call.integer();
    float* g = call.output({s.rows, width});
    const int64_t wanted = (s.rows + indices.count) * width / GRAIN, blocks = wanted < 1 ? 1 : wanted < BLOCKS ? wanted : BLOCKS;
    const int64_t step = (s.rows + blocks - 1) / blocks;
    for (int64_t first = 0; first < s.rows; first += step) tasks.push_back({s, g, first, first + step < s.rows ? first + step : s.rows});
  }
  parallel(static_cast<int64_t>(tasks.size()), [&](int64_t i) {
    const Task& t = tasks[static_cast<size_t>(i)];
    std::memset(t.to + t.first * width, 0, static_cast<size_t>((t.end - t.first) * width) * sizeof(float));
    const int32_t* index = indices.of(t.source);
    for (int64_t n = 0; n < indices.count; n++) {
      const int64_t row = index[n] - t.source.start;
      if (row >= t.first && row < t.end) add(width, dy + n * width, t.to + row * width);
    }
  });
}
