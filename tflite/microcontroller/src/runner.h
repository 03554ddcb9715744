// The model in TensorFlow Lite Micro, without its headers: these are for runner.cc alone.
#pragma once

#include <cstddef>

namespace dart_keras {

// Registers the operators and lays out the tensors in a static arena. Call it once, first.
// Returns false, after printing why, if the model cannot run.
bool StartModel();

// Copies values into an input, in the model's own type. The interpreter uses an input's memory for
// other tensors, so that every run needs all of them anew.
// Returns false if there is no such input or it takes another number of bytes.
bool SetInput(std::size_t index, const void* values, std::size_t bytes);

// Runs the model on what the inputs hold. Returns false if an operator failed.
bool RunModel();

// The values of an output, which the next run overwrites, in the model's own type.
// Returns nullptr if there is no such output or it gives another number of bytes.
const void* GetOutput(std::size_t index, std::size_t bytes);

// The bytes of the arena that are in use.
std::size_t ArenaBytesUsed();

}  // namespace dart_keras
