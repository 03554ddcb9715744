// Whether the model gives on this device what it gave when it was converted.
#pragma once

namespace dart_keras {

// The steps that an element of a quantized output may be off: kernels tuned for one processor may
// round the last bit the other way. Integers of more than 16 bits and booleans are not quantized:
// they must be the same.
constexpr int kAllowedSteps = 1;

// How far an element of a float output may be off, as a part of the output's largest element.
constexpr float kAllowedError = 1e-4f;

// Runs the model on every example; StartModel comes before. Returns whether all outputs matched;
// prints the first difference, if there is one.
bool RunSelfTest();

}  // namespace dart_keras
