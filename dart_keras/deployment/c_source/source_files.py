import zlib
from collections.abc import Sequence

from dart_keras.deployment.c_source.example_arrays import examples_header, examples_source
from dart_keras.deployment.c_source.model_array import model_header, model_source
from dart_keras.deployment.c_source.op_resolver import resolver_header
from dart_keras.deployment.c_source.tensors import tensors_header
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo
from dart_keras.deployment.runtimes.result import Examples

_MODEL_ID = """
// Tells the files of one model from those of another when they are compiled.
#define DART_KERAS_MODEL_ID {:#010x}
"""
_CHECK = """
#include "model.h"
static_assert(DART_KERAS_MODEL_ID == {:#010x}, "model.h and {} are of different models");
"""


def files(
    content: bytes,
    arena_size: int,
    operators: Sequence[str],
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
    examples: Examples,
) -> dict[str, bytes]:
    """Return the C++ source of a model for TensorFlow Lite Micro.

    Args:
        content: The bytes of the `.tflite` file.
        arena_size: Bytes of working memory.
        operators: Names of the builtin operators in the file.
        inputs: The file's inputs, in its order.
        outputs: The file's outputs, in its order.
        examples: Rows with what TensorFlow Lite Micro gave for them.

    Returns:
        The content of each file by its name: `model.h`, `model.cc`, `op_resolver.h`, `tensors.h`,
        `examples.h` and `examples.cc`. They compile only together, not with those of another
        model.
    """
    texts = {
        "model.h": model_header(len(content), arena_size),
        "model.cc": model_source(content),
        "op_resolver.h": resolver_header(operators),
        "tensors.h": tensors_header(inputs, outputs),
        "examples.h": examples_header(examples),
        "examples.cc": examples_source(examples),
    }
    model_id = zlib.crc32("".join(texts.values()).encode())
    texts["model.h"] += _MODEL_ID.format(model_id)
    for name in texts.keys() - {"model.h"}:
        texts[name] += _CHECK.format(model_id, name)
    return {name: text.encode() for name, text in texts.items()}
