from dart_keras.deployment.c_source.literals import in_lines


def model_header(size: int, arena_size: int) -> str:
    """Return `model.h`: the file as an array, its length, and the arena that it needs.

    Args:
        size: Bytes of the file.
        arena_size: Bytes of working memory.
    """
    return f"""\
#pragma once

#include <cstddef>

namespace dart_keras {{

// The .tflite file, aligned to 16 bytes.
extern const unsigned char kModel[];
constexpr std::size_t kModelSize = {size};

// The smallest arena, in bytes, in which TensorFlow Lite Micro ran the model on a computer with
// pointers of 64 bits. Align the arena to 16 bytes as well. Pointers of 32 bits need less, but
// kernels tuned for one processor (CMSIS-NN, for instance) may ask for more to work in.
constexpr std::size_t kArenaSize = {arena_size};

}}  // namespace dart_keras
"""


def model_source(content: bytes) -> str:
    """Return `model.cc`: the definition of the array in `model.h`."""
    return f"""\
#include "model.h"

namespace dart_keras {{

alignas(16) const unsigned char kModel[] = {{
{in_lines([f"0x{byte:02x}" for byte in content])}
}};

static_assert(sizeof(kModel) == kModelSize, "model.h and model.cc are of different models");

}}  // namespace dart_keras
"""
