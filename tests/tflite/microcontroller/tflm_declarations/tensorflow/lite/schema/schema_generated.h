// Declarations of the parts of TensorFlow Lite Micro that the application uses. The definitions are
// in the library of the wheel `tflite-micro`, whose version is in setup.cfg.
#pragma once

#include <cstdint>
#include <cstring>

namespace tflite {

struct Model;
struct Operator;

// Constants of the file format.
enum BuiltinOperator : std::int32_t {
  BuiltinOperator_ADD = 0,
  BuiltinOperator_CONCATENATION = 2,
  BuiltinOperator_FULLY_CONNECTED = 9,
  BuiltinOperator_RESHAPE = 22,
  BuiltinOperator_SOFTMAX = 25,
  BuiltinOperator_GATHER = 36,
  BuiltinOperator_TRANSPOSE = 39,
  BuiltinOperator_MEAN = 40,
  BuiltinOperator_CAST = 53,
  BuiltinOperator_FLOOR_DIV = 90,
  BuiltinOperator_FLOOR_MOD = 95,
  BuiltinOperator_BATCH_MATMUL = 126,
};

// The first integer of a file is the offset of its root.
inline const Model* GetModel(const void* file) {
  std::uint32_t start;
  std::memcpy(&start, file, sizeof(start));
  return reinterpret_cast<const Model*>(static_cast<const char*>(file) + start);
}

}  // namespace tflite
