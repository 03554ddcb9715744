#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "print.h"

namespace dart_keras {

void Print(std::int64_t number) {
  char text[21];  // A sign, 19 digits and the terminator.
  *std::to_chars(text, text + sizeof(text) - 1, number).ptr = '\0';
  Print(text);
}

// Seven digits and a power of ten.
void Print(float number) {
  if (!std::isfinite(number)) {
    Print(std::isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
    return;
  }
  std::int32_t exponent = 0;
  double digits = number;
  for (; std::fabs(digits) >= 1e7; ++exponent) digits /= 10;
  for (; digits != 0 && std::fabs(digits) < 1e6; --exponent) digits *= 10;
  auto rounded = static_cast<std::int64_t>(std::llround(digits));
  if (std::abs(rounded) == 10000000) {  // 9999999.7 is rounded to eight digits.
    rounded /= 10;
    ++exponent;
  }
  Print(rounded);
  Print("e");
  Print(static_cast<std::int64_t>(exponent));
}

}  // namespace dart_keras
