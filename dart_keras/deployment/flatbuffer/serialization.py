import functools
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

# What the schema asks of the place of every constant in a file; its Python code forgets it.
_ALIGNMENT = 16


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


def load_schema() -> Any:
    """Imports the schema of `.tflite` files that TensorFlow brings along."""
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated


def _packed(model: Any) -> Any:
    builder = _builder()(1024)
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


@functools.cache
def _builder() -> type:
    import flatbuffers  # type: ignore[import-untyped]

    class Builder(flatbuffers.Builder):
        """Writes what was written before as a reference to it, as the format allows.

        Attributes:
            padding: What was left empty, to begin something where it must: the place of the first
                byte, counted from the end of the file, and the number of bytes.
        """

        def __init__(self, size: int) -> None:
            super().__init__(size)
            self.padding: list[tuple[int, int]] = []
            self._written: dict[Any, int] = {}
            self._fields: list[tuple[Any, ...]] = []

        def Pad(self, n: int) -> None:  # noqa: N802
            super().Pad(n)
            if n > 0:
                self.padding.append((self.Offset(), n))

        def StartVector(self, size: int, count: int, alignment: int) -> Any:  # noqa: N802
            # Vectors of single bytes are constants.
            return super().StartVector(size, count, _ALIGNMENT if size == 1 else alignment)

        def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
            key = (x.dtype.str, x.tobytes())
            if key not in self._written:
                self._written[key] = super().CreateNumpyVector(x)
            return self._written[key]

        def CreateString(self, s: Any, *arguments: Any, **options: Any) -> int:  # noqa: N802
            if s not in self._written:
                self._written[s] = super().CreateString(s, *arguments, **options)
            return self._written[s]

        def StartObject(self, numfields: int) -> None:  # noqa: N802
            super().StartObject(numfields)
            self._fields = []

        def PrependSlot(self, flags: Any, o: int, x: Any, d: Any) -> None:  # noqa: N802
            super().PrependSlot(flags, o, x, d)
            if x != d:
                self._fields.append((flags, o, x))

        def PrependUOffsetTRelativeSlot(self, o: int, x: int, d: int) -> None:  # noqa: N802
            super().PrependUOffsetTRelativeSlot(o, x, d)
            if x != d:
                self._fields.append((o, x))

        def EndObject(self) -> int:  # noqa: N802
            key = tuple(self._fields)
            if key not in self._written:
                self._written[key] = super().EndObject()
            else:
                # The fields are in the file already: they are taken back.
                self.nested, self.current_vtable = False, None
                self.head = len(self.Bytes) - self.objectEnd
                self.padding = [pad for pad in self.padding if pad[0] <= self.objectEnd]
            return self._written[key]

    return Builder
