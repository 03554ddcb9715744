// Text output of the board.
#pragma once

#include <cstdint>

namespace dart_keras {

// Print a text. print.cc writes to stdout. For a board, define this function for its serial port
// and build that file instead of print.cc.
void Print(const char* text);

// Print a number without printf, which uses the heap for floats in some C libraries.
void Print(std::int64_t number);
void Print(float number);

}  // namespace dart_keras
