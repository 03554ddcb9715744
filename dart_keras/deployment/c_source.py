from collections.abc import Sequence

_BYTES_PER_LINE = 16

# TensorFlow Lite Micro's spelling, where it is not the operator's name in camel case.
_SPELLINGS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


def model_header(size: int, arena_size: int) -> str:
    """Returns `model.h`: the file as an array, its length, and the arena that it needs.

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
    """Returns `model.cc`: the definition of the array in `model.h`."""
    lines = (
        "    " + " ".join(f"0x{byte:02x}," for byte in content[start : start + _BYTES_PER_LINE])
        for start in range(0, len(content), _BYTES_PER_LINE)
    )
    return f"""\
#include "model.h"

namespace dart_keras {{

alignas(16) const unsigned char kModel[] = {{
{chr(10).join(lines)}
}};

static_assert(sizeof(kModel) == kModelSize, "model.h and model.cc are of different models");

}}  // namespace dart_keras
"""


def resolver_header(operators: Sequence[str]) -> str:
    """Returns `op_resolver.h`: the registration of exactly the operators that the model uses.

    Args:
        operators: Builtin operator names, for example `["FULLY_CONNECTED", "SOFTMAX"]`.
    """
    calls = "\n".join(
        f"  if (resolver.{method_name(name)}() != kTfLiteOk) return kTfLiteError;"
        for name in operators
    )
    return f"""\
#pragma once

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

namespace dart_keras {{

using OpResolver = tflite::MicroMutableOpResolver<{len(operators)}>;

inline TfLiteStatus RegisterOps(OpResolver& resolver) {{
{calls}
  return kTfLiteOk;
}}

}}  // namespace dart_keras
"""


def method_name(operator: str) -> str:
    """Returns the name of the resolver's method that registers a builtin operator.

    Example:
        >>> method_name("DEPTHWISE_CONV_2D")
        'AddDepthwiseConv2D'
    """
    camel = "".join(
        part if part[0].isdigit() else part.capitalize() for part in operator.split("_")
    )
    return "Add" + _SPELLINGS.get(operator, camel)
