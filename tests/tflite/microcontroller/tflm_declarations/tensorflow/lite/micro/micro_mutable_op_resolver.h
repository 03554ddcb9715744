// See schema_generated.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/schema/schema_generated.h"

namespace tflite {
namespace micro {

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

struct TfLiteContext;
struct TfLiteNode;
class BuiltinDataAllocator;

struct TFLMRegistration {
  void* (*init)(TfLiteContext*, const char*, std::size_t);
  void (*free)(TfLiteContext*, void*);
  TfLiteStatus (*prepare)(TfLiteContext*, TfLiteNode*);
  TfLiteStatus (*invoke)(TfLiteContext*, TfLiteNode*);
  void (*reset)(TfLiteContext*, void*);
  std::int32_t builtin_code;
  const char* custom_name;
};

using Parser = TfLiteStatus (*)(const Operator*, BuiltinDataAllocator*, void**);

class MicroOpResolver {
 public:
  virtual const TFLMRegistration* FindOp(BuiltinOperator op) const = 0;
  virtual const TFLMRegistration* FindOp(const char* custom) const = 0;
  virtual Parser GetOpDataParser(BuiltinOperator op) const = 0;
  virtual ~MicroOpResolver() = default;
};

// An operator's name in the file and its kernel, in the resolver, and in its parser.
#define FOR_EACH_OPERATOR(X)                            \
  X(ADD, Add, Add)                                      \
  X(BATCH_MATMUL, BatchMatMul, BatchMatMul)             \
  X(CAST, Cast, Cast)                                   \
  X(CONCATENATION, Concatenation, Concatenation)        \
  X(FLOOR_DIV, FloorDiv, FloorDiv)                      \
  X(FLOOR_MOD, FloorMod, FloorMod)                      \
  X(FULLY_CONNECTED, FullyConnected, FullyConnected)    \
  X(GATHER, Gather, Gather)                             \
  X(MEAN, Mean, Reducer)                                \
  X(RESHAPE, Reshape, Reshape)                          \
  X(SOFTMAX, Softmax, Softmax)                          \
  X(TRANSPOSE, Transpose, Transpose)

#define DECLARE(KERNEL, Method, Parser)  \
  TFLMRegistration Register_##KERNEL();  \
  TfLiteStatus Parse##Parser(const Operator*, BuiltinDataAllocator*, void**);
FOR_EACH_OPERATOR(DECLARE)
#undef DECLARE

template <unsigned int kCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  const TFLMRegistration* FindOp(BuiltinOperator op) const override {
    const int found = Find(op);
    return found < 0 ? nullptr : &registrations_[found];
  }
  const TFLMRegistration* FindOp(const char*) const override { return nullptr; }
  Parser GetOpDataParser(BuiltinOperator op) const override {
    const int found = Find(op);
    return found < 0 ? nullptr : parsers_[found];
  }

#define DEFINE(KERNEL, Method, Parser) \
  TfLiteStatus Add##Method() {         \
    return Register(BuiltinOperator_##KERNEL, Register_##KERNEL(), Parse##Parser); \
  }
  FOR_EACH_OPERATOR(DEFINE)
#undef DEFINE

 private:
  TfLiteStatus Register(BuiltinOperator op, TFLMRegistration registration, Parser parser) {
    if (count_ == kCount) return kTfLiteError;
    registrations_[count_] = registration;
    registrations_[count_].builtin_code = op;
    parsers_[count_++] = parser;
    return kTfLiteOk;
  }
  int Find(BuiltinOperator op) const {
    for (unsigned int i = 0; i < count_; ++i) {
      if (registrations_[i].builtin_code == op) return static_cast<int>(i);
    }
    return -1;
  }

  TFLMRegistration registrations_[kCount];
  Parser parsers_[kCount];
  unsigned int count_ = 0;
};

#undef FOR_EACH_OPERATOR

}  // namespace micro
}  // namespace tflite

using ::tflite::micro::kTfLiteError;
using ::tflite::micro::kTfLiteOk;
using ::tflite::micro::TfLiteStatus;
