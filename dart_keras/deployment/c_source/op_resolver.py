from collections.abc import Sequence

# TensorFlow Lite Micro's spelling, where it is not the operator's name in camel case.
_SPELLINGS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


def resolver_header(operators: Sequence[str]) -> str:
    """Return `op_resolver.h`: the registration of exactly the operators that the model uses.

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

// Newer TensorFlow Lite Micro has its classes in tflite::micro, older in tflite: tflm:: finds both.
namespace tflite {{
namespace micro {{}}
}}  // namespace tflite

namespace dart_keras {{

namespace tflm {{
using namespace ::tflite;
using namespace ::tflite::micro;
}}  // namespace tflm

using OpResolver = tflm::MicroMutableOpResolver<{len(operators)}>;

inline TfLiteStatus RegisterOps(OpResolver& resolver) {{
{calls}
  return kTfLiteOk;
}}

}}  // namespace dart_keras
"""


def method_name(operator: str) -> str:
    """Return the name of the resolver's method that registers a builtin operator.

    Example:
        >>> method_name("DEPTHWISE_CONV_2D")
        'AddDepthwiseConv2D'
    """
    camel = "".join(
        part if part[0].isdigit() else part.capitalize() for part in operator.split("_")
    )
    return "Add" + _SPELLINGS.get(operator, camel)
