from copy import copy
from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.packing import load_schema, pack, sweep, unpack

_LARGEST = 2**31 - 1
# The magnitude of the most negative int16.
_LARGEST_INPUT = 2**15


def narrow(content: bytes) -> bytes:
    """Lets products of int16 by int8 be added up in 32 bits, where none can overflow.

    The converter asks for 64 bits everywhere, for which LiteRT has its reference kernel alone.

    Args:
        content: A `.tflite` file.

    Returns:
        A file whose outputs are the same up to the rounding of each product's result, by a step of
        int16 or two.
    """
    model = unpack(content)
    changed = False
    for subgraph in model.subgraphs:
        graph = Graph(model, subgraph)
        for operator in graph.operators("FULLY_CONNECTED"):
            if graph.dtype(operator.inputs[0]) == "INT16" and _fits(graph, operator):
                _narrow(model, subgraph, operator)
                changed = True
    if not changed:
        return content
    sweep(model)
    return pack(model)


def _fits(graph: Graph, operator: Any) -> bool:
    weights = graph.constant(operator.inputs[1])
    if weights is None or graph.dtype(operator.inputs[1]) != "INT8":
        return False
    rows = weights.view("int8").reshape(graph.shape(operator.inputs[1])).astype("int64")
    largest = np.abs(rows).sum(axis=1) * _LARGEST_INPUT
    if _has_bias(operator):
        bias = graph.constant(operator.inputs[2])
        if bias is None or graph.dtype(operator.inputs[2]) != "INT64":
            return False
        largest = largest + np.abs(bias.view("int64"))
    return bool(largest.max() <= _LARGEST)


def _has_bias(operator: Any) -> bool:
    return len(operator.inputs) > 2 and operator.inputs[2] >= 0


def _narrow(model: Any, subgraph: Any, operator: Any) -> None:
    integers = load_schema().TensorType.INT32
    operator.builtinOptions.quantizedBiasType = integers
    if not _has_bias(operator):
        return
    # Other operators may have the same bias, and not fit.
    tensor = copy(subgraph.tensors[operator.inputs[2]])
    buffer = copy(model.buffers[tensor.buffer])
    buffer.data = buffer.data.view("int64").astype("int32").view("uint8")
    tensor.type, tensor.buffer = integers, len(model.buffers)
    model.buffers.append(buffer)
    subgraph.tensors.append(tensor)
    operator.inputs = np.array([*operator.inputs[:2], len(subgraph.tensors) - 1], "int32")
