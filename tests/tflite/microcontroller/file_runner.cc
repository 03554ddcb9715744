// A runner that reads its outputs from a file, example by example, to test the self-test.
// It writes inputs to another file.
#include "runner.h"

#include <cstdio>
#include <cstdlib>

namespace dart_keras {
namespace {

std::FILE* inputs = nullptr;
std::FILE* outputs = nullptr;
alignas(16) unsigned char output[1 << 16];

}  // namespace

bool StartModel() {
  inputs = std::fopen(std::getenv("INPUTS"), "wb");
  outputs = std::fopen(std::getenv("OUTPUTS"), "rb");
  return inputs != nullptr && outputs != nullptr;
}

bool SetInput(std::size_t, const void* values, std::size_t bytes) {
  return std::fwrite(values, 1, bytes, inputs) == bytes;
}

bool RunModel() { return std::fflush(inputs) == 0; }

const void* GetOutput(std::size_t, std::size_t bytes) {
  return std::fread(output, 1, bytes, outputs) == bytes ? output : nullptr;
}

std::size_t ArenaBytesUsed() { return 1234; }

}  // namespace dart_keras
