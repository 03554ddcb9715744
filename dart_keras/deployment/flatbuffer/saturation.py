from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.packing import pack, unpack

_RELU6_LIMIT = 6.0
_BITS = {"INT8": 8, "INT16": 16}


def saturate(content: bytes) -> bytes:
    """Makes a RELU of each quantized RELU6 whose output has no integers for more than 6.

    TensorFlow Lite Micro's RELU6 takes its output for one with the scale of its input, which the
    converter does not give it. Its RELU has no such fault, and stops at the largest integer.

    Args:
        content: A `.tflite` file.

    Returns:
        A file that gives the same outputs where every operator keeps to its definition.
    """
    model = unpack(content)
    changed = False
    for subgraph in model.subgraphs:
        graph = Graph(model, subgraph)
        for operator in graph.operators("RELU6"):
            output = int(operator.outputs[0])
            if _ends_at_six(subgraph.tensors[output].quantization, graph.dtype(output)):
                graph.rename(operator, "RELU")
                changed = True
    return pack(model) if changed else content


def _ends_at_six(quantization: Any, dtype: str) -> bool:
    if dtype not in _BITS:
        return False
    scale, zero = float(quantization.scale[0]), int(quantization.zeroPoint[0])
    # Half a step more would be rounded down to it.
    largest = np.float32(scale) * (2 ** (_BITS[dtype] - 1) - 1 - zero)
    return bool(largest < _RELU6_LIMIT + scale / 2)
