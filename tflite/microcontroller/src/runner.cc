#include "runner.h"

#include <cstdint>
#include <cstring>

#include "model.h"
#include "op_resolver.h"
#include "print.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"

// Bytes in addition to kArenaSize, for kernels that need more memory than the reference kernels.
#ifndef EXTRA_ARENA_BYTES
#define EXTRA_ARENA_BYTES 0
#endif

namespace dart_keras {
namespace {

alignas(16) std::uint8_t arena[kArenaSize + EXTRA_ARENA_BYTES];
tflm::MicroInterpreter* interpreter = nullptr;

}  // namespace

bool StartModel() {
  static OpResolver resolver;
  if (RegisterOps(resolver) != kTfLiteOk) {
    Print("an operator cannot be registered\n");
    return false;
  }
  static tflm::MicroInterpreter the_interpreter(::tflite::GetModel(kModel), resolver, arena,
                                                sizeof(arena));
  if (the_interpreter.AllocateTensors() != kTfLiteOk) {
    Print("the tensors cannot be laid out: raise EXTRA_ARENA_BYTES if the arena is too small\n");
    return false;
  }
  interpreter = &the_interpreter;
  return true;
}

bool SetInput(std::size_t index, const void* values, std::size_t bytes) {
  auto* tensor = interpreter->input(index);
  if (tensor == nullptr || tensor->bytes != bytes) return false;
  std::memcpy(tensor->data.raw, values, bytes);
  return true;
}

bool RunModel() { return interpreter->Invoke() == kTfLiteOk; }

const void* GetOutput(std::size_t index, std::size_t bytes) {
  const auto* tensor = interpreter->output(index);
  if (tensor == nullptr || tensor->bytes != bytes) return nullptr;
  return tensor->data.raw;
}

std::size_t ArenaBytesUsed() { return interpreter->arena_used_bytes(); }

}  // namespace dart_keras
