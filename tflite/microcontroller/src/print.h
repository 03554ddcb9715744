// Text for whoever watches the board.
#pragma once

#include <cstdint>

namespace dart_keras {

// Writes a text. print.cc writes to stdout; a board defines this function for its serial port
// and is built with that file in the place of print.cc.
void Print(const char* text);

// Write a number, without printf: its floats take memory from the heap in some C libraries.
void Print(std::int64_t number);
void Print(float number);

}  // namespace dart_keras
