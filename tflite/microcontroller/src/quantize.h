// Conversion between real values and the integers of a quantized model.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace dart_keras {

// Return the integer that represents a value; values beyond the type's range become its limits.
// Computed in float, because the Cortex-M4F has no hardware for double.
//
//   input[i] = Quantize<Input0::Type>(value, Input0::kScale, Input0::kZeroPoint);
template <typename T>
T Quantize(float value, float scale, std::int32_t zero_point) {
  constexpr float kLowest = std::numeric_limits<T>::min();
  constexpr float kLargest = std::numeric_limits<T>::max();
  static_assert(sizeof(T) <= 2, "a float represents all integers of up to 16 bits only");
  // Ties round to the even integer, as in NumPy.
  const float steps = std::nearbyint(value / scale) + static_cast<float>(zero_point);
  if (steps >= kLargest) return std::numeric_limits<T>::max();
  // Also true for NaN.
  if (!(steps > kLowest)) return std::numeric_limits<T>::min();
  return static_cast<T>(steps);
}

// Return the value that an integer represents.
//
//   value = Dequantize(output[i], Output0::kScale, Output0::kZeroPoint);
template <typename T>
float Dequantize(T integer, float scale, std::int32_t zero_point) {
  return static_cast<float>(static_cast<std::int32_t>(integer) - zero_point) * scale;
}

}  // namespace dart_keras
