// SiLU and SwiGLU (kernels.md section 9).
#include "op.h"
#include "pool.h"
#include "vec.h"

using namespace bytelm;

BYTELM_OP(Silu) {
  Shape shape;
  const float* x = call.floats(&shape);
  float* y = call.output(shape.dims);
  parallelRanges(shape.size(), 4, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i += LANES) store(y + i, silu(load(x + i, to - i)), to - i);
  });
}

BYTELM_OP(SiluGrad) {
  Shape shape;
  const float* x = call.floats(&shape);
  const float* dy = call.floats();
  float* dx = call.output(shape.dims);
  parallelRanges(shape.size(), 4, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i += LANES) {
      const Vec v = load(x + i, to - i);
      store(dx + i, load(dy + i, to - i) * siluSlope(v, sigmoid(v)), to - i);
    }
  });
}

namespace {

/** Rows of gate and value: two tensors (`up` given), or the halves of one packed tensor, the gate in the half that `gateFirst` says. */
struct Rows {
  int64_t rows, width, stride;
  const float *gate, *up;
  int64_t gateAt = 0, upAt = 0;
  Rows(const Shape& s, const float* first, const float* second, bool gateFirst) : gate(first), up(second) {
    width = second ? s[-1] : s[-1] / 2;
    stride = s[-1];
    rows = stride ? s.size() / stride : 0;
    if (second) return;
    up = first;
    gateAt = gateFirst ? 0 : width;
    upAt = width - gateAt;
  }
};

}  // namespace

/** gate, up? -> silu(gate) up. */
BYTELM_OP(Swiglu) {
  Shape shape;
  const float* first = call.floats(&shape);
  const float* second = call.floats();
  const Rows r(shape, first, second, call.flag());
  std::vector<int64_t> dims = shape.dims;
  dims.back() = r.width;
  float* y = call.output(dims);
  parallelRanges(r.rows, 5 * r.width, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; row++) {
      const float *gate = r.gate + row * r.stride + r.gateAt, *up = r.up + row * r.stride + r.upAt;
      for (int64_t i = 0; i < r.width; i += LANES) store(y + row * r.width + i, silu(load(gate + i, r.width - i)) * load(up + i, r.width - i), r.width - i);
    }
  });
}

/** gate, up?, dy -> dgate, dup; one packed gradient without `up`. */
BYTELM_OP(SwigluGrad) {
  Shape shape;
  const float* first = call.floats(&shape);
  const float* second = call.floats();
  const float* dy = call.floats();
  const Rows r(shape, first, second, call.flag());
  float* dGate = call.output(shape.dims);
  float* dUp = second ? call.output(shape.dims) : dGate;
  parallelRanges(r.rows, 8 * r.width, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; row++) {
      const int64_t gateAt = row * r.stride + r.gateAt, upAt = row * r.stride + r.upAt;
      for (int64_t i = 0; i < r.width; i += LANES) {
        const int64_t left = r.width - i;
        const Vec g = load(r.gate + gateAt + i, left), u = load(r.up + upAt + i, left), d = load(dy + row * r.width + i, left), sig = sigmoid(g);
        store(dUp + upAt + i, d * g * sig, left);
        store(dGate + gateAt + i, d * u * siluSlope(g, sig), left);
      }
    }
  });
}
