// RMS norms (kernels.md section 3). Rows are (rows, groups, size); weights repeat every groups * size values; r is (rows, groups).
#include <cmath>

#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

namespace {

struct Layout {
  int64_t rows, groups, size, width;
  Layout(const Shape& x, int64_t size) : groups(x[-1] / size), size(size), width(x[-1]) { rows = width ? x.size() / width : 0; }
};

float rootScale(Vec squares, int64_t size, float eps) { return 1 / std::sqrt(sum(squares) / static_cast<float>(size) + eps); }

/** In this order nothing overflows for rows of tiny values, where the scale is large. */
float pullOf(float scale, Vec products, int64_t size) { return scale * (scale * (scale * (sum(products) / static_cast<float>(size)))); }

}  // namespace

/** x, residual?, weight -> y, sum (with a residual), r. */
BYTELM_OP(RmsNorm) {
  Shape shape;
  const float* x = call.floats(&shape);
  const float* residual = call.floats();
  const float* weight = call.floats();
  const float eps = call.number();
  const Layout l(shape, call.integer());
  float* y = call.output(shape.dims);
  float* total = residual ? call.output(shape.dims) : nullptr;
  float* r = call.output({l.rows, l.groups});
  parallelRanges(l.rows, 3 * l.width, [&](int64_t from, int64_t to) {
    for (int64_t g = from * l.groups; g < to * l.groups; g++) {
      const int64_t at = g * l.size;
      const float* w = weight + g % l.groups * l.size;
      const float* source = residual ? total + at : x + at;
      Vec squares{};
      for (int64_t i = 0; i < l.size; i += LANES) {
        Vec v = load(x + at + i, l.size - i);
        if (residual) {
          v += load(residual + at + i, l.size - i);
          store(total + at + i, v, l.size - i);
        }
        squares += v * v;
      }
      const float scale = r[g] = rootScale(squares, l.size, eps);
      for (int64_t i = 0; i < l.size; i += LANES) store(y + at + i, load(source + i, l.size - i) * scale * load(w + i, l.size - i), l.size - i);
    }
  });
}

/** x, weight, r, dy, extra? -> dx (+ extra), dw: dx = r dy w - x r^3 mean(dy w x), dw = sum over rows of dy x r. */
BYTELM_OP(RmsNormGrad) {
  Shape shape, weightShape;
  const float* x = call.floats(&shape);
  const float* weight = call.floats(&weightShape);
  const float* r = call.floats();
  const float* dy = call.floats();
  const float* extra = call.floats();
  const Layout l(shape, call.integer());
  float* dx = call.output(shape.dims);
  float* dw = call.output(weightShape.dims);
  parallelSum(l.rows, l.width, dw, [&](int64_t from, int64_t to, float* partial) {
    for (int64_t g = from * l.groups; g < to * l.groups; g++) {
      const int64_t at = g * l.size, column = g % l.groups * l.size;
      Vec products{};
      for (int64_t i = 0; i < l.size; i += LANES) {
        const int64_t left = l.size - i;
        products += load(dy + at + i, left) * load(weight + column + i, left) * load(x + at + i, left);
      }
      const float scale = r[g], pull = pullOf(scale, products, l.size);
      for (int64_t i = 0; i < l.size; i += LANES) {
        const int64_t left = l.size - i;
        const Vec v = load(x + at + i, left), scaled = load(dy + at + i, left) * scale;
        Vec d = scaled * load(weight + column + i, left) - v * pull;
        if (extra) d += load(extra + at + i, left);
        store(dx + at + i, d, left);
        float* p = partial + column + i;
        store(p, load(p, left) + scaled * v, left);
      }
    }
  });
}

/** x, gate, weight -> norm(x silu(gate)) w, or norm(x) w silu(gate). */
BYTELM_OP(GatedRmsNorm) {
  Shape shape;
  const float* x = call.floats(&shape);
  const float* gate = call.floats();
  const float* weight = call.floats();
  const float eps = call.number();
  const Layout l(shape, call.integer());
  const bool normFirst = call.flag();
  float* y = call.output(shape.dims);
  parallelRanges(l.rows, 6 * l.width, [&](int64_t from, int64_t to) {
    for (int64_t g = from * l.groups; g < to * l.groups; g++) {
      const int64_t at = g * l.size;
      const float* w = weight + g % l.groups * l.size;
      Vec squares{};
      for (int64_t i = 0; i < l.size; i += LANES) {
        const int64_t left = l.size - i;
        const Vec v = load(x + at + i, left), gated = v * silu(load(gate + at + i, left)), normed = normFirst ? v : gated;
        store(y + at + i, gated, left);
        squares += normed * normed;
      }
      const float scale = rootScale(squares, l.size, eps);
      for (int64_t i = 0; i < l.size; i += LANES) store(y + at + i, load(y + at + i, l.size - i) * scale * load(w + i, l.size - i), l.size - i);
    }
  });
}

/** x, gate, weight, dy -> dx, dgate, dw. */
BYTELM_OP(GatedRmsNormGrad) {
  Shape shape, weightShape;
  const float* x = call.floats(&shape);
  const float* gate = call.floats();
  const float* weight = call.floats(&weightShape);
  const float* dy = call.floats();
  const float eps = call.number();
  const Layout l(shape, call.integer());
  const bool normFirst = call.flag();
  float* dx = call.output(shape.dims);
  float* dz = call.output(shape.dims);
  float* dw = call.output(weightShape.dims);
  parallelSum(l.rows, l.width, dw, [&](int64_t from, int64_t to, float* partial) {
    for (int64_t g = from * l.groups; g < to * l.groups; g++) {
      const int64_t at = g * l.size, column = g % l.groups * l.size;
      // n: what is normalized; d: the gradient that reaches the norm. dz keeps sigmoid(gate) for the second pass.
      Vec squares{}, products{};
      for (int64_t i = 0; i < l.size; i += LANES) {
        const int64_t left = l.size - i;
        const Vec z = load(gate + at + i, left), sig = sigmoid(z), s = z * sig, v = load(x + at + i, left), up = load(dy + at + i, left);
        const Vec n = normFirst ? v : v * s, d = normFirst ? up * s : up;
        squares += n * n;
        products += d * load(weight + column + i, left) * n;
        store(dz + at + i, sig, left);
      }
      const float scale = rootScale(squares, l.size, eps), pull = pullOf(scale, products, l.size);
      for (int64_t i = 0; i < l.size; i += LANES) {
        const int64_t left = l.size - i;
        const Vec z = load(gate + at + i, left), sig = load(dz + at + i, left), s = z * sig, slope = siluSlope(z, sig);
        const Vec v = load(x + at + i, left), up = load(dy + at + i, left), w = load(weight + column + i, left);
        const Vec n = normFirst ? v : v * s, d = (normFirst ? up * s : up) * scale, dn = d * w - n * pull;
        float* p = partial + column + i;
        store(p, load(p, left) + d * n, left);
        store(dx + at + i, normFirst ? dn : dn * s, left);
        store(dz + at + i, normFirst ? up * slope * (v * scale * w) : dn * v * slope, left);
      }
    }
  });
}
