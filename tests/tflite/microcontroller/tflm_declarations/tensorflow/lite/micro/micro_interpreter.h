// See schema_generated.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace tflite {
namespace micro {

class MicroProfilerInterface;
class MicroResourceVariables;

class MicroAllocator {
 public:
  std::size_t used_bytes() const;
};

struct TfLiteTensor {
  struct {
    int type;
    void* params;
  } quantization;
  struct {
    float scale;
    std::int32_t zero_point;
  } params;
  union {
    char* raw;
    void* data;
  } data;
  void* dims;
  std::size_t bytes;
};

class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& op_resolver,
                   std::uint8_t* tensor_arena, std::size_t tensor_arena_size,
                   MicroResourceVariables* resource_variables = nullptr,
                   MicroProfilerInterface* profiler = nullptr, bool preserve_all_tensors = false);
  ~MicroInterpreter();
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(std::size_t index);
  TfLiteTensor* output(std::size_t index);
  std::size_t arena_used_bytes() const { return allocator_.used_bytes(); }

 private:
  const Model* model_;
  const MicroOpResolver& op_resolver_;
  void* context_;
  MicroAllocator& allocator_;
  // More space than the library's own members need.
  alignas(16) unsigned char others_[4096];
};

}  // namespace micro
}  // namespace tflite
