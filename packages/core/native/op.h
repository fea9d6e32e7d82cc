// What a native op sees, and how it makes itself known. Every op has the same TensorFlow signature: a list of float tensors, a list of
// int32 tensors and one vector of plain numbers in; a list of float tensors out. An op lists the shapes of its outputs first, then computes.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace bytelm {

struct Shape {
  std::vector<int64_t> dims;
  int64_t size() const {
    int64_t n = 1;
    for (int64_t d : dims) n *= d;
    return n;
  }
  int64_t operator[](int i) const { return dims[static_cast<size_t>(i < 0 ? static_cast<int>(dims.size()) + i : i)]; }
  int rank() const { return static_cast<int>(dims.size()); }
};

/** Raised with every change of an op's inputs, numbers or outputs; the TypeScript side (tensorflow-native.ts) has the same number. */
constexpr int ABI = 1;

/** One call. Inputs come in the order of the TypeScript side; bit masks in `numbers[0]` (floats) and `numbers[1]` (ints) say which were given. */
class Call {
 public:
  virtual ~Call() = default;
  /** The next float or int32 input, or null when it was not given. */
  const float* floats(Shape* shape = nullptr);
  const int32_t* ints(Shape* shape = nullptr);
  /** The next plain number. */
  float number();
  int64_t integer() { return static_cast<int64_t>(number()); }
  bool flag() { return number() != 0; }
  /** Allocates the next output; contents undefined. */
  virtual float* output(const std::vector<int64_t>& dims) = 0;

 protected:
  virtual const void* input(int index, Shape* shape) = 0;
  int floatCount = 0, intCount = 0;
  const float* numbers = nullptr;
  int numberCount = 0;

 private:
  int floatBit_ = 0, intBit_ = 0, float_ = 0, int_ = 0, number_ = 2;
};

/** Bad input: ends the call with an exception in JavaScript. */
struct BadCall : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct OpEntry {
  const char* name;
  void (*compute)(Call&);
};

/** All ops of the addon. */
std::vector<OpEntry>& registry();

struct Register {
  Register(const char* name, void (*compute)(Call&)) { registry().push_back({name, compute}); }
};

}  // namespace bytelm

/** `BYTELM_OP(Conv1d) { … call … }` defines and registers the op `BytelmNativeConv1d`. */
#define BYTELM_OP(name)                                                             \
  static void compute##name(bytelm::Call& call);                                    \
  static const bytelm::Register register##name("BytelmNative" #name, compute##name); \
  static void compute##name(bytelm::Call& call)
