import copy
import functools
from collections import Counter
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np

from dart_keras.private_apis import deduplicating_builder
from dart_keras.utils.optional_imports import import_extra


def load_schema() -> ModuleType:
    """Return the schema of `.tflite` files.

    Raises:
        ImportError: If `ai-edge-litert` is not installed.
    """
    return import_extra("ai_edge_litert.schema_py_generated", "ai-edge-litert")


def load_flatbuffer_utils() -> ModuleType:
    """Return LiteRT's tools for parsed files.

    Raises:
        ImportError: If `ai-edge-litert` is not installed.
    """
    return import_extra("ai_edge_litert.tools.flatbuffer_utils", "ai-edge-litert")


def unpack(content: bytes) -> Any:
    """Parse a `.tflite` file into the objects of its schema, which can be changed.

    Returns:
        A `ModelT`.
    """
    # A copy, because the objects' arrays are views of it.
    model = load_flatbuffer_utils().convert_bytearray_to_object(bytearray(content))
    for graph in model.subgraphs:
        # None where a file's outputs are its inputs.
        graph.operators = graph.operators or []
    return model


def copy_parsed(model: Any) -> Any:
    """Return a copy of a `ModelT` to be changed by itself; both share the constants' bytes."""
    shared = {id(buffer.data): buffer.data for buffer in model.buffers}
    return copy.deepcopy(model, shared)


def pack(model: Any) -> bytes:
    """Write a `ModelT` as a file in which equal vectors, tables and names are stored once."""
    return pack_with_padding(model)[0]


def pack_with_padding(model: Any) -> tuple[bytes, list[tuple[int, int]]]:
    """Write a `ModelT` as `pack` does, and tell where the file is left empty.

    Returns:
        The file, and for each gap its place and number of bytes.
    """
    builder = deduplicating_builder()(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content = bytes(builder.Output())
    return content, [(len(content) - before_end, count) for before_end, count in builder.padding]


def sweep(model: Any) -> None:
    """Drop tensors, constants and operator codes that no operator uses; merge equal constants.

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
    """Return an operator's builtin name, `"CUSTOM"` for one that is none."""
    return builtin_name(model.operatorCodes[operator.opcodeIndex])


def builtin_name(code: Any) -> str:
    """Return the name of the builtin operator of an `OperatorCode` or `OperatorCodeT`."""
    return _builtin_names()[load_flatbuffer_utils().get_builtin_code_from_operator_code(code)]


def dtype_name(tensor_type: int) -> str:
    """Return the schema's name of a tensor's type, such as `"INT8"`."""
    return load_flatbuffer_utils().type_to_name(tensor_type)


@functools.cache
def _builtin_names() -> dict[int, str]:
    return {v: k for k, v in vars(load_schema().BuiltinOperator).items() if isinstance(v, int)}


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
