"""What a `.tflite` file has a runtime do for one row."""

import math
from collections.abc import Sequence
from typing import Any

from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.serialization import builtin_name, load_schema

# Operators that multiply by weights, and the axis of the weights for the output channels.
_CHANNELS = {
    "FULLY_CONNECTED": 0,
    "CONV_2D": 0,
    "CONV_3D": -1,
    "TRANSPOSE_CONV": 0,
    "DEPTHWISE_CONV_2D": -1,
}


def loops(content: bytes) -> list[int]:
    """Return the places of the loops among a file's operators; none if this is no file."""
    if not _is_file(content):
        return []
    operators = ModelFile(content).operators
    return [place for place, operator in enumerate(operators) if operator.name == "WHILE"]


def operations(content: bytes) -> int:
    """Return how much there is to do for one row: an estimate from above, to limit its time.

    Multiply-adds, elements that operators read and write, and bytes of the file are counted alike.
    A loop is taken to run as often as the longest axis of an input is long.

    Args:
        content: The file; of what is none, only the bytes count.
    """
    if not _is_file(content):
        return len(content)
    model = load_schema().Model.GetRootAs(content)
    main = model.Subgraphs(0)
    inputs = [_shape(main, main.Inputs(place)) for place in range(main.InputsLength())]
    steps = max((size for shape in inputs for size in shape), default=1)
    total = len(content)
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        for operator in (graph.Operators(place) for place in range(graph.OperatorsLength())):
            name = builtin_name(model.OperatorCodes(operator.OpcodeIndex()))
            total += _operations(graph, operator, name) * (steps if index else 1)
    return total


def _is_file(content: bytes) -> bool:
    return content[4:8] == b"TFL3"


def _operations(graph: Any, operator: Any, name: str) -> int:
    takes = [operator.Inputs(place) for place in range(operator.InputsLength())]
    gives = [operator.Outputs(place) for place in range(operator.OutputsLength())]
    shapes = [_shape(graph, tensor) for tensor in takes if tensor >= 0]
    written = sum(math.prod(_shape(graph, tensor)) for tensor in gives)
    return written * _products(name, shapes) + sum(map(math.prod, shapes))


def _products(name: str, shapes: Sequence[Sequence[int]]) -> int:
    """Return the multiply-adds for each element of an operator's output, 1 for any other work."""
    if name == "BATCH_MATMUL":
        return max(shapes[0][-2:])
    if name in _CHANNELS and len(shapes) > 1:
        weights = shapes[1]
        return max(math.prod(weights) // max(weights[_CHANNELS[name]], 1), 1)
    return 1


def _shape(graph: Any, tensor: int) -> list[int]:
    found = graph.Tensors(tensor)
    # An axis whose size is only known while the file runs has the size -1.
    return [max(found.Shape(axis), 1) for axis in range(found.ShapeLength())]
