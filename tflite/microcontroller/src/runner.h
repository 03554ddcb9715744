// The model in TensorFlow Lite Micro. Only runner.cc includes its headers.
#pragma once

#include <cstddef>

namespace dart_keras {

// Register the operators and allocate the tensors in a static arena. Call this once, first.
// Return false, after printing why, if the model cannot run.
bool StartModel();

// Copy values into an input, in the model's own type. The interpreter reuses an input's memory for
// other tensors, so every run needs all inputs again.
// Return false if there is no such input or it has another number of bytes.
bool SetInput(std::size_t index, const void* values, std::size_t bytes);

// Run the model on its inputs. Return false if an operator failed.
bool RunModel();

// Return the values of an output, in the model's own type. The next run overwrites them.
// Return nullptr if there is no such output or it has another number of bytes.
const void* GetOutput(std::size_t index, std::size_t bytes);

// Return the arena bytes in use.
std::size_t ArenaBytesUsed();

}  // namespace dart_keras
