// Work split over threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace bytelm {

/** Threads of the pool with the caller: BYTELM_TF_OPS_THREADS, else the processors this process may use, at most 8. */
int threadCount();

namespace detail {
void run(int64_t tasks, void (*task)(void*, int64_t), void* context);
}

/**
 * Calls `f(i)` for 0 <= i < tasks, on several threads, in any order. How work is cut into tasks must not depend on the number of threads,
 * so that sums come out the same on every machine and run. `f` must not throw.
 */
template <class F>
void parallel(int64_t tasks, F&& f) {
  detail::run(tasks, [](void* c, int64_t i) { (*static_cast<std::remove_reference_t<F>*>(c))(i); }, &f);
}

/** Floats per range below which a thread is not worth waking. */
constexpr int64_t GRAIN = 1 << 14;

/** Calls `f(from, to)` on ranges of 0..n; `cost` is floats touched per element. */
template <class F>
void parallelRanges(int64_t n, int64_t cost, F&& f) {
  const int64_t step = n * cost <= GRAIN ? n : (GRAIN / cost > 0 ? GRAIN / cost : 1);
  if (n <= 0) return;
  parallel((n + step - 1) / step, [&](int64_t i) { f(i * step, i * step + step < n ? i * step + step : n); });
}

/**
 * Sums over rows: rows are cut into at most 32 blocks, `f(from, to, partial)` adds its rows to a zeroed `partial` of `width` floats, and the
 * partials are added up in order.
 */
template <class F>
void parallelSum(int64_t rows, int64_t width, float* out, F&& f) {
  const int64_t wanted = (rows * width + GRAIN - 1) / GRAIN;
  const int64_t step = wanted <= 1 ? (rows > 0 ? rows : 1) : (rows + (wanted < 32 ? wanted : 32) - 1) / (wanted < 32 ? wanted : 32);
  const int64_t blocks = rows > 0 ? (rows + step - 1) / step : 0;
  std::vector<float> partials(static_cast<std::size_t>(blocks * width));
  parallel(blocks, [&](int64_t b) { f(b * step, b * step + step < rows ? b * step + step : rows, partials.data() + b * width); });
  for (int64_t i = 0; i < width; i++) out[i] = 0;
  for (int64_t b = 0; b < blocks; b++) for (int64_t i = 0; i < width; i++) out[i] += partials[static_cast<std::size_t>(b * width + i)];
}

/** Floats that belong to this thread, contents undefined; valid until its next call for the same slot. */
float* scratch(int64_t floats, int slot = 0);

}  // namespace bytelm
