// Vectors of floats by the compiler's vector extension: one source for AVX-512, AVX2, SSE and NEON.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace bytelm {

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t IntVec __attribute__((vector_size(LANES * 4)));
typedef float UnalignedVec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

// v - 0 is v to the compiler; v + 0 is an addition, for the sake of -0.
inline Vec splat(float v) { return v - Vec{}; }
inline Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }

/** The first `left` floats, the rest `fill`. */
inline Vec load(const float* p, int64_t left, float fill = 0) {
  if (left >= LANES) return load(p);
  Vec v = splat(fill);
  std::memcpy(&v, p, static_cast<size_t>(left) * 4);
  return v;
}
inline void store(float* p, Vec v, int64_t left) {
  if (left >= LANES) store(p, v);
  else std::memcpy(p, &v, static_cast<size_t>(left) * 4);
}

inline Vec select(IntVec condition, Vec a, Vec b) { return condition ? a : b; }
// NaN in `a` stays: the comparison is false then.
inline Vec max(Vec a, Vec b) { return select(a < b, b, a); }
inline Vec min(Vec a, Vec b) { return select(a > b, b, a); }

inline float sum(Vec v) {
  float s = 0;
  for (int w = LANES / 2; w; w /= 2) for (int i = 0; i < w; i++) v[i] += v[i + w];
  s = v[0];
  return s;
}
inline float largest(Vec v) {
  float m = v[0];
  for (int i = 1; i < LANES; i++) m = v[i] > m ? v[i] : m;
  return m;
}

/** e^x to 2 ulp; 0 below -87.3, e^88.3 above 88.3; NaN stays NaN. */
inline Vec exp(Vec v) {
  const Vec x = min(v, splat(88.3f));
  // Adding 1.5 * 2^23 rounds to an integer.
  const Vec rounder = splat(12582912.0f);
  const Vec n = (x * 1.44269504f + rounder) - rounder;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const IntVec power = (__builtin_convertvector(n, IntVec) + 127) << 23;
  return select(v < -87.3f, Vec{}, p * reinterpret_cast<Vec>(power));
}

/** ln x for normal positive x; NaN stays NaN. */
inline Vec log(Vec x) {
  // x = m * 2^n with m in [sqrt(1/2), sqrt(2)), then a polynomial in m - 1 (coefficients of Cephes' logf).
  const IntVec bits = reinterpret_cast<IntVec>(x);
  const IntVec shifted = bits - 0x3f3504f3;
  const Vec n = __builtin_convertvector(shifted >> 23, Vec);
  const Vec m = reinterpret_cast<Vec>(bits - (shifted & static_cast<int32_t>(0xff800000)));
  const Vec f = m - 1.0f;
  const Vec f2 = f * f;
  Vec p = f * 7.0376836292e-2f - 1.151461031e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  const Vec y = f * f2 * p - n * 2.12194440e-4f - f2 * 0.5f;
  return f + y + n * 0.693359375f + x * 0.0f;
}

inline Vec sigmoid(Vec x) { return 1.0f / (1.0f + exp(-x)); }
inline Vec silu(Vec x) { return x / (1.0f + exp(-x)); }
/** d silu / dx from x and s = sigmoid(x). */
inline Vec siluSlope(Vec x, Vec s) { return s * (1.0f + x * (1.0f - s)); }

inline float sigmoid1(float x) { return 1.0f / (1.0f + std::exp(-x)); }
inline float softplus1(float x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))); }

inline float dot(int64_t n, const float* x, const float* y) {
  Vec a{}, b{};
  int64_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    a += load(x + i) * load(y + i);
    b += load(x + i + LANES) * load(y + i + LANES);
  }
  for (; i < n; i += LANES) a += load(x + i, n - i) * load(y + i, n - i);
  return sum(a + b);
}

/** y += a x. */
inline void axpy(int64_t n, float a, const float* x, float* y) {
  for (int64_t i = 0; i < n; i += LANES) store(y + i, load(y + i, n - i) + a * load(x + i, n - i), n - i);
}
inline void add(int64_t n, const float* x, float* y) {
  for (int64_t i = 0; i < n; i += LANES) store(y + i, load(y + i, n - i) + load(x + i, n - i), n - i);
}
inline void zero(int64_t n, float* x) { std::memset(x, 0, static_cast<size_t>(n) * 4); }
inline void copy(int64_t n, const float* x, float* y) { std::memcpy(y, x, static_cast<size_t>(n) * 4); }

}  // namespace bytelm
