#include "print.h"

#include <cstdio>

namespace dart_keras {

void Print(const char* text) {
  std::fputs(text, stdout);
  std::fflush(stdout);
}

}  // namespace dart_keras
