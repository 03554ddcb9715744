from typing import Any

from dart_keras.deployment.flatbuffer.axis_permutation import AxisPermutation
from dart_keras.deployment.flatbuffer.graph import Graph, graphs_of

# What these do to a number does not depend on its place in the array.
_BINARY = ("ADD", "SUB", "MUL")
_UNARY = ("RELU", "RELU6", "ELU", "GELU", "TANH", "LOGISTIC", "HARD_SWISH")
_MOVES = ("RESHAPE", "TRANSPOSE")
# TRANSPOSE takes more axes from a later version on, which not every runtime has.
_MOST_AXES = 4


def fold_transposes(model: Any) -> None:
    """Remove operators that only move values about, where the file does not need them.

    - A reshape before an element-wise operator goes after it, where it meets another one or a
      FULLY_CONNECTED.
    - A row of reshapes and transposes becomes at most one transpose.
    - A reshape before a FULLY_CONNECTED goes: the operator sees rows of its own length.
    - A FULLY_CONNECTED goes without a bias that is zero.

    The outputs stay the same, to the bit.

    Args:
        model: A `ModelT`, changed in place.
    """
    for graph in graphs_of(model):
        if graph.is_static:
            _sink_reshapes(graph)
            _skip_reshapes(graph)
            _merge_moves(graph)
            _skip_reshapes(graph)
            _drop_zero_biases(graph)


def _sink_reshapes(graph: Graph) -> None:
    for operator in graph.operators(*_BINARY, *_UNARY):
        output = operator.outputs[0]
        moving = [tensor for tensor in operator.inputs if graph.constant(tensor) is None]
        if len(moving) != 1:
            continue
        reshape: Any = graph.producer(moving[0])
        if (
            not _is_move(graph, reshape, "RESHAPE")
            or graph.only_consumer(moving[0]) is None
            or not _takes_any_shape(graph, graph.only_consumer(output))
            or any(graph.size(t) not in (1, graph.size(output)) for t in operator.inputs)
        ):
            continue
        shape = graph.shape(reshape.inputs[0])
        inputs = [t if graph.size(t) == 1 else graph.add_tensor(t, shape) for t in operator.inputs]
        inputs[list(operator.inputs).index(moving[0])] = reshape.inputs[0]
        result = graph.add_tensor(output, shape)
        graph.rewire(operator, inputs, result)
        graph.replace([reshape, operator], [operator, graph.reshape(result, output)])


def _skip_reshapes(graph: Graph) -> None:
    for operator in graph.operators("FULLY_CONNECTED", "RESHAPE"):
        reshape: Any = graph.producer(operator.inputs[0])
        if _takes_any_shape(graph, operator) and _is_move(graph, reshape, "RESHAPE"):
            alone = graph.only_consumer(operator.inputs[0]) is not None
            graph.rewire(operator, [reshape.inputs[0], *operator.inputs[1:]])
            if alone:
                graph.replace([reshape], [])


def _merge_moves(graph: Graph) -> None:
    seen: set[int] = set()
    for first in graph.operators(*_MOVES):
        row: list[Any] = []
        after, permutation = first, AxisPermutation.begin(graph.shape(first.inputs[0]))
        while id(after) not in seen and (longer := _moved(graph, permutation, after)) is not None:
            seen.add(id(after))
            row.append(after)
            after, permutation = graph.only_consumer(after.outputs[0]), longer
        shape, order = permutation.single()
        if not row or len(order) > _MOST_AXES:
            continue
        made = _made(graph, row[0].inputs[0], row[-1].outputs[0], shape, order)
        if _weight(graph, made) < _weight(graph, row):
            graph.replace(row, made)


def _moved(graph: Graph, permutation: AxisPermutation, operator: Any) -> AxisPermutation | None:
    if _is_move(graph, operator, "TRANSPOSE"):
        return permutation.transpose(graph.axes(operator.inputs[1]))
    if _is_move(graph, operator, "RESHAPE"):
        return permutation.reshape(graph.shape(operator.outputs[0]))
    return None


def _made(
    graph: Graph, source: int, target: int, shape: tuple[int, ...], order: tuple[int, ...]
) -> list[Any]:
    if len(order) < 2:
        return [graph.reshape(source, target)]
    made = []
    given = source if graph.shape(source) == shape else graph.add_tensor(source, shape)
    turned = tuple(shape[axis] for axis in order)
    result = target if graph.shape(target) == turned else graph.add_tensor(target, turned)
    if given != source:
        made.append(graph.reshape(source, given))
    made.append(graph.transpose(given, result, order))
    if result != target:
        made.append(graph.reshape(result, target))
    return made


def _weight(graph: Graph, row: list[Any]) -> tuple[int, int]:
    # A reshape copies in order, or does nothing; a transpose takes its time.
    return sum(graph.name(operator) == "TRANSPOSE" for operator in row), len(row)


def _drop_zero_biases(graph: Graph) -> None:
    for operator in graph.operators("FULLY_CONNECTED"):
        bias = graph.bias(operator)
        values = graph.constant(bias) if bias >= 0 else None
        if values is not None and not values.any():
            graph.rewire(operator, [*operator.inputs[:2], -1])


def _is_move(graph: Graph, operator: Any, kind: str) -> bool:
    # A shape or an order that is computed while the file runs is not known here.
    return (
        operator is not None
        and graph.name(operator) == kind
        and all(graph.constant(tensor) is not None for tensor in operator.inputs[1:])
    )


def _takes_any_shape(graph: Graph, operator: Any) -> bool:
    if _is_move(graph, operator, "RESHAPE"):
        return True
    if operator is None or graph.name(operator) != "FULLY_CONNECTED":
        return False
    kinds = {graph.dtype(tensor) for tensor in operator.inputs[:2]}
    # Float rows that meet integer weights are quantized row by row, so there the rows matter.
    return not operator.builtinOptions.keepNumDims and kinds != {"FLOAT32", "INT8"}
