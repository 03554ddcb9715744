import json
import math
from collections.abc import Sequence

import numpy as np

from dart_keras.deployment.c_source.literals import c_type, literal
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo


def tensors_header(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> str:
    """Return `tensors.h`: a struct of constants for each input and each output.

    `Input0`, `Input1`, ... and `Output0`, ... have the element's `Type`, `kShape` (the batch
    dimension of 1 included) and `kSize`, the number of elements; quantized ones also have `kScale`
    and `kZeroPoint`.

    Args:
        inputs: The file's inputs, in its order.
        outputs: The file's outputs, in its order.
    """
    structs = [
        _struct(kind, index, info)
        for kind, infos in (("Input", inputs), ("Output", outputs))
        for index, info in enumerate(infos)
    ]
    return f"""\
#pragma once

#include <cstddef>
#include <cstdint>

namespace dart_keras {{

// A quantized integer q stands for kScale * (q - kZeroPoint).

{chr(10).join(structs)}
}}  // namespace dart_keras
"""


def _struct(kind: str, index: int, info: TensorInfo) -> str:
    lines = [
        f"using Type = {c_type(info.dtype)};",
        f"static constexpr int kShape[] = {{{', '.join(map(str, info.shape))}}};",
        f"static constexpr std::size_t kSize = {math.prod(info.shape)};",
    ]
    if info.scale is not None:
        lines += [
            f"static constexpr float kScale = {literal(np.float32(info.scale))};",
            f"static constexpr std::int32_t kZeroPoint = {info.zero_point or 0};",
        ]
    body = "\n".join(f"  {line}" for line in lines)
    # As JSON, a name takes one line and ends it with a quote, whatever it is made of.
    return f"// {json.dumps(info.name)}\nstruct {kind}{index} {{\n{body}\n}};\n"
