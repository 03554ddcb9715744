import functools
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from dart_keras.private_apis import deduplicating_builder, load_schema


def unpack(content: bytes) -> Any:
    """Reads a `.tflite` file into the objects of its schema, which can be changed.

    Returns:
        A `ModelT`.
    """
    schema = load_schema()
    # A copy, because the objects' arrays are views of it.
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))
    for graph in model.subgraphs:
        # None where a file's outputs are its inputs.
        graph.operators = graph.operators or []
    return model


def pack(model: Any) -> bytes:
    """Writes a `ModelT` as a file in which equal vectors, tables and names are stored once."""
    return bytes(_packed(model).Output())


def padding(content: bytes) -> list[tuple[int, int]]:
    """Returns where a file that `pack` wrote is left empty: the place and number of bytes.

    Raises:
        ValueError: If another program wrote the file.
    """
    builder = _packed(unpack(content))
    if builder.Output() != content:
        raise ValueError("Expected a file that `pack` wrote. Received: another one")
    return [(len(content) - before_end, count) for before_end, count in builder.padding]


def sweep(model: Any) -> None:
    """Drops tensors, constants and operator codes that no operator uses; equal constants merge.

    Tensors come in the order of their first use. TensorFlow Lite Micro gives those of one size
    their memory in the order of the file, and in another one it may leave gaps.
    """
    for place, graph in enumerate(model.subgraphs):
        used = (int(index) for tensors in _tensor_lists(graph) for index in tensors)
        kept = [index for index in dict.fromkeys(used) if index >= 0]
        places = {index: new for new, index in enumerate(kept)} | {-1: -1}
        graph.tensors = [graph.tensors[index] for index in kept]
        graph.inputs, graph.outputs = (_moved(t, places) for t in (graph.inputs, graph.outputs))
        for operator in graph.operators:
            operator.inputs = _moved(operator.inputs, places)
            operator.outputs = _moved(operator.outputs, places)
            if operator.intermediates is not None:
                operator.intermediates = _moved(operator.intermediates, places)
        for signature in model.signatureDefs or []:
            if signature.subgraphIndex == place:
                for entry in [*(signature.inputs or []), *(signature.outputs or [])]:
                    entry.tensorIndex = places[entry.tensorIndex]
    _sweep_buffers(model)
    _sweep_codes(model)


def operator_name(model: Any, operator: Any) -> str:
    """Returns an operator's builtin name, `"CUSTOM"` for one that is none."""
    code = model.operatorCodes[operator.opcodeIndex]
    return builtin_names()[max(code.builtinCode, code.deprecatedBuiltinCode)]


@functools.cache
def builtin_names() -> dict[int, str]:
    """Returns the names of the builtin operators by their codes."""
    return names_of(load_schema().BuiltinOperator)


def names_of(enumeration: type) -> dict[int, str]:
    """Returns the names of an enumeration of the schema by their values."""
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}


def _packed(model: Any) -> Any:
    builder = deduplicating_builder()(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return builder


def _tensor_lists(graph: Any) -> Iterable[Iterable[int]]:
    yield graph.inputs
    for operator in graph.operators:
        yield operator.inputs
        yield operator.outputs
        yield operator.intermediates if operator.intermediates is not None else ()
    yield graph.outputs


def _moved(tensors: Iterable[int], places: dict[int, int]) -> np.ndarray:
    return np.array([places[int(index)] for index in tensors], "int32")


def _sweep_buffers(model: Any) -> None:
    # The first one is empty, and stands for all that hold nothing.
    buffers, places = [model.buffers[0]], {b"": 0}

    def place(index: int) -> int:
        data = model.buffers[index].data
        key = b"" if data is None else data.tobytes()
        if key not in places:
            places[key] = len(buffers)
            buffers.append(model.buffers[index])
        return places[key]

    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = place(tensor.buffer)
    for entry in model.metadata or []:
        entry.buffer = place(entry.buffer)
    model.buffers = buffers


def _sweep_codes(model: Any) -> None:
    operators = [operator for graph in model.subgraphs for operator in graph.operators]
    used = sorted(Counter(operator.opcodeIndex for operator in operators))
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for operator in operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)
