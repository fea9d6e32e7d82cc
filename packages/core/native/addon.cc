// The Node addon: registers the ops with the TensorFlow that tfjs-node has loaded. Nothing is linked against TensorFlow: its C API is stable
// and looked up at run time, so one binary serves every version.
// Spares a header that only pluggable devices need.
#define IS_SLIM_BUILD
#include <dlfcn.h>
#include <node_api.h>
#include <tensorflow/c/kernels.h>
#include <tensorflow/c/ops.h>

#include <array>
#include <utility>

#include "op.h"
#include "pool.h"

namespace bytelm {

std::vector<OpEntry>& registry() {
  static std::vector<OpEntry> ops;
  return ops;
}

const float* Call::floats(Shape* shape) {
  if (!((static_cast<uint32_t>(numbers[0]) >> floatBit_++) & 1)) return nullptr;
  if (float_ >= floatCount) throw BadCall("too few float inputs");
  return static_cast<const float*>(input(float_++, shape));
}

const int32_t* Call::ints(Shape* shape) {
  if (!((static_cast<uint32_t>(numbers[1]) >> intBit_++) & 1)) return nullptr;
  if (int_ >= intCount) throw BadCall("too few int32 inputs");
  return static_cast<const int32_t*>(input(floatCount + int_++, shape));
}

float Call::number() {
  if (number_ >= numberCount) throw BadCall("too few numbers");
  return numbers[number_++];
}

namespace {

/** The C API is spread over the libraries, differently in each distribution. */
void* find(const char* name) {
  for (const char* library : {"libtensorflow_framework.so.2", "libtensorflow.so.2", "libtensorflow_cc.so.2", "libtensorflow_framework.2.dylib", "libtensorflow.2.dylib"}) {
    if (void* handle = dlopen(library, RTLD_NOLOAD | RTLD_LAZY)) {
      if (void* symbol = dlsym(handle, name)) return symbol;
    }
  }
  return nullptr;
}

#define BYTELM_API(f)                                                                                                              \
  f(TF_NewStatus) f(TF_DeleteStatus) f(TF_SetStatus) f(TF_GetCode) f(TF_Message) f(TF_GetInput) f(TF_NumInputs) f(TF_InputDatatype) \
  f(TF_AllocateOutput) f(TF_TensorData) f(TF_Dim) f(TF_NumDims) f(TF_TensorElementCount) f(TF_DeleteTensor)                         \
  f(TF_OpKernelContext_Failure) f(TF_NewOpDefinitionBuilder) f(TF_OpDefinitionBuilderAddAttr) f(TF_OpDefinitionBuilderAddInput)     \
  f(TF_OpDefinitionBuilderAddOutput) f(TF_OpDefinitionBuilderSetShapeInferenceFunction) f(TF_RegisterOpDefinition)                  \
  f(TF_ShapeInferenceContextSetUnknownShape) f(TF_NewKernelBuilder) f(TF_RegisterKernelBuilder)

struct Api {
#define BYTELM_FIELD(name) decltype(&::name) name = nullptr;
  BYTELM_API(BYTELM_FIELD)
} api;

/** Fills the table; returns the first name that is missing. */
const char* loadApi() {
#define BYTELM_LOAD(name) \
  if (!(api.name = reinterpret_cast<decltype(api.name)>(find(#name)))) return #name;
  BYTELM_API(BYTELM_LOAD)
  return nullptr;
}

class KernelCall : public Call {
 public:
  explicit KernelCall(TF_OpKernelContext* context) : context_(context), status_(api.TF_NewStatus()) {
    const int inputs = api.TF_NumInputs(context);
    for (int i = 0; i < inputs - 1; i++) (api.TF_InputDatatype(context, i) == TF_FLOAT ? floatCount : intCount)++;
    Shape shape;
    numbers = static_cast<const float*>(input(inputs - 1, &shape));
    numberCount = static_cast<int>(shape.size());
  }
  ~KernelCall() override {
    for (TF_Tensor* t : tensors_) api.TF_DeleteTensor(t);
    api.TF_DeleteStatus(status_);
  }

  float* output(const std::vector<int64_t>& dims) override {
    int64_t size = 1;
    for (int64_t d : dims) size *= d;
    TF_Tensor* t = api.TF_AllocateOutput(context_, outputs_++, TF_FLOAT, dims.data(), static_cast<int>(dims.size()), static_cast<size_t>(size) * 4, status_);
    return static_cast<float*>(data(t));
  }

  void fail(const char* message) {
    api.TF_SetStatus(status_, TF_INVALID_ARGUMENT, message);
    api.TF_OpKernelContext_Failure(context_, status_);
  }

 protected:
  const void* input(int index, Shape* shape) override {
    TF_Tensor* t = nullptr;
    api.TF_GetInput(context_, index, &t, status_);
    const void* values = data(t);
    if (shape) for (int i = 0; i < api.TF_NumDims(t); i++) shape->dims.push_back(api.TF_Dim(t, i));
    return values;
  }

 private:
  void* data(TF_Tensor* t) {
    if (api.TF_GetCode(status_) != TF_OK) throw BadCall(api.TF_Message(status_));
    tensors_.push_back(t);
    return api.TF_TensorData(t);
  }

  TF_OpKernelContext* context_;
  TF_Status* status_;
  std::vector<TF_Tensor*> tensors_;
  int outputs_ = 0;
};

// A kernel gets only what its own `create` returned: one function per op, so that it gets the entry.

void compute(void* op, TF_OpKernelContext* context) {
  KernelCall call(context);
  try {
    static_cast<const OpEntry*>(op)->compute(call);
  } catch (const std::exception& e) {
    call.fail(e.what());
  }
}

template <size_t I>
void* create(TF_OpKernelConstruction*) { return &registry()[I]; }

constexpr size_t MAX_OPS = 48;
using Create = void* (*)(TF_OpKernelConstruction*);
template <size_t... I>
constexpr std::array<Create, sizeof...(I)> creators(std::index_sequence<I...>) { return {create<I>...}; }

std::string registerAll() {
  if (const char* missing = loadApi()) return std::string("TensorFlow has no ") + missing;
  if (registry().size() > MAX_OPS) return "more ops than MAX_OPS";
  static constexpr auto CREATORS = creators(std::make_index_sequence<MAX_OPS>{});
  TF_Status* status = api.TF_NewStatus();
  std::string problem;
  for (size_t i = 0; i < registry().size() && problem.empty(); i++) {
    const char* name = registry()[i].name;
    TF_OpDefinitionBuilder* op = api.TF_NewOpDefinitionBuilder(name);
    for (const char* attr : {"NF: int >= 0", "NI: int >= 0", "NO: int >= 1"}) api.TF_OpDefinitionBuilderAddAttr(op, attr);
    for (const char* in : {"floats: NF * float", "ints: NI * int32", "numbers: float"}) api.TF_OpDefinitionBuilderAddInput(op, in);
    api.TF_OpDefinitionBuilderAddOutput(op, "outputs: NO * float");
    api.TF_OpDefinitionBuilderSetShapeInferenceFunction(op, [](TF_ShapeInferenceContext* c, TF_Status* s) { api.TF_ShapeInferenceContextSetUnknownShape(c, s); });
    api.TF_RegisterOpDefinition(op, status);
    if (api.TF_GetCode(status) == TF_OK) api.TF_RegisterKernelBuilder(name, api.TF_NewKernelBuilder(name, "CPU", CREATORS[i], compute, nullptr), status);
    if (api.TF_GetCode(status) != TF_OK) problem = std::string(name) + ": " + api.TF_Message(status);
  }
  api.TF_DeleteStatus(status);
  return problem;
}

}  // namespace
}  // namespace bytelm

/** Exports `{abi: number, ops: string[], threads: number}`; throws when TensorFlow is not loaded. Every JavaScript thread may load the addon. */
NAPI_MODULE_INIT() {
  // Registering a name twice aborts the process.
  static const std::string problem = bytelm::registerAll();
  if (!problem.empty()) {
    napi_throw_error(env, nullptr, problem.c_str());
    return exports;
  }
  napi_value abi, ops, threads;
  napi_create_array(env, &ops);
  uint32_t i = 0;
  for (const auto& op : bytelm::registry()) {
    napi_value name;
    napi_create_string_utf8(env, op.name, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, ops, i++, name);
  }
  napi_create_int32(env, bytelm::threadCount(), &threads);
  napi_create_int32(env, bytelm::ABI, &abi);
  napi_set_named_property(env, exports, "abi", abi);
  napi_set_named_property(env, exports, "ops", ops);
  napi_set_named_property(env, exports, "threads", threads);
  return exports;
}
