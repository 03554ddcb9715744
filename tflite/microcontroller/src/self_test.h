// Compare the model's outputs on this device with those recorded at conversion.
#pragma once

namespace dart_keras {

// Allowed error of an element of a quantized output, in steps: kernels optimized for a processor
// may round the last bit differently. Integers of more than 16 bits and booleans are not quantized
// and must be equal.
constexpr int kAllowedSteps = 1;

// Allowed error of an element of a float output, relative to the output's largest element.
constexpr float kAllowedError = 1e-4f;

// Run the model on every example, after StartModel. Return whether all outputs match; print the
// first difference, if there is one.
bool RunSelfTest();

}  // namespace dart_keras
