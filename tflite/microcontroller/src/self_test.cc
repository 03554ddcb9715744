#include "self_test.h"

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "examples.h"
#include "print.h"
#include "runner.h"

namespace dart_keras {
namespace {

template <typename T>
void PrintElement(T element) {
  if constexpr (std::is_same_v<T, float>) {
    Print(element);
  } else {
    Print(static_cast<std::int64_t>(element));
  }
}

void PrintPlace(std::size_t example, const char* kind, std::size_t index) {
  Print("example ");
  Print(static_cast<std::int64_t>(example));
  Print(kind);
  Print(static_cast<std::int64_t>(index));
}

// `largest` is the largest absolute value of the expected float output.
template <typename T>
bool IsClose(T received, T expected, T largest) {
  if constexpr (std::is_same_v<T, float>) {
    // False for NaN.
    return std::fabs(received - expected) <= kAllowedError * largest;
  } else if constexpr (std::is_same_v<T, bool> || sizeof(T) > 2) {
    return received == expected;
  } else {
    const int steps = static_cast<int>(received) - static_cast<int>(expected);
    return -kAllowedSteps <= steps && steps <= kAllowedSteps;
  }
}

// Print the first difference, if there is one.
template <typename T>
bool Matches(const T* received, const T* expected, std::size_t size, std::size_t example,
             std::size_t output) {
  T largest{};
  if constexpr (std::is_same_v<T, float>) {
    for (std::size_t i = 0; i < size; ++i) largest = std::fmax(largest, std::fabs(expected[i]));
  }
  for (std::size_t i = 0; i < size; ++i) {
    if (IsClose(received[i], expected[i], largest)) continue;
    PrintPlace(example, ", output ", output);
    Print(", element ");
    Print(static_cast<std::int64_t>(i));
    Print(": expected ");
    PrintElement(expected[i]);
    Print(", received ");
    PrintElement(received[i]);
    Print("\n");
    return false;
  }
  return true;
}

bool RunExample(std::size_t example) {
  bool passed = true;
  VisitInputs(example, [&](std::size_t index, const auto& values) {
    if (!passed || SetInput(index, values, sizeof(values))) return;
    PrintPlace(example, ", input ", index);
    Print(": the model takes another number of bytes\n");
    passed = false;
  });
  if (!passed) return false;
  if (!RunModel()) {
    Print("an operator failed\n");
    return false;
  }
  VisitOutputs(example, [&](std::size_t index, const auto& expected) {
    using T = std::remove_const_t<std::remove_reference_t<decltype(expected[0])>>;
    if (!passed) return;
    const void* received = GetOutput(index, sizeof(expected));
    if (received == nullptr) {
      PrintPlace(example, ", output ", index);
      Print(": the model gives another number of bytes\n");
      passed = false;
      return;
    }
    passed = Matches(static_cast<const T*>(received), expected, sizeof(expected) / sizeof(T),
                     example, index);
  });
  return passed;
}

}  // namespace

bool RunSelfTest() {
  for (std::size_t example = 0; example < kExamples; ++example) {
    if (!RunExample(example)) return false;
  }
  return true;
}

}  // namespace dart_keras
