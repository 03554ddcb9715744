from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.serialization import builtin_name, dtype_name, load_schema
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo


@dataclass(frozen=True)
class Operator:
    """One operator of a file: its builtin name, and the names of the tensors it touches.

    The outputs come first, then the constants and then what other operators made: in this order
    the names tell where it is from.
    """

    name: str
    tensor_names: tuple[str, ...]


class ModelFile:
    """Reads what a `.tflite` file holds.

    Args:
        content: The file's bytes.
    """

    def __init__(self, content: bytes | bytearray) -> None:
        self._model = load_schema().Model.GetRootAs(content)
        self._main = self._model.Subgraphs(0)

    @property
    def operators(self) -> list[Operator]:
        """Every operator, in the order in which the main subgraph runs them, others after."""
        found = []
        for index in range(self._model.SubgraphsLength()):
            graph = self._model.Subgraphs(index)
            for place in range(graph.OperatorsLength()):
                operator = graph.Operators(place)
                code = self._model.OperatorCodes(operator.OpcodeIndex())
                name = builtin_name(code)
                if name == "CUSTOM":
                    name = code.CustomCode().decode()
                ids = [operator.Outputs(i) for i in range(operator.OutputsLength())]
                given = [operator.Inputs(i) for i in range(operator.InputsLength())]
                ids += sorted((i for i in given if i >= 0), key=lambda i: not self._data(graph, i))
                tensors = (graph.Tensors(i).Name() for i in ids)
                found.append(Operator(name, tuple((t or b"").decode() for t in tensors)))
        return found

    @property
    def operator_counts(self) -> dict[str, int]:
        """How often each operator is used, by name."""
        return dict(sorted(Counter(operator.name for operator in self.operators).items()))

    @property
    def weight_bytes(self) -> dict[str, int]:
        """Bytes of constants by their dtype: what quantization did to the weights."""
        sizes: Counter[str] = Counter()
        buffers = set()
        for index in range(self._model.SubgraphsLength()):
            graph = self._model.Subgraphs(index)
            for place in range(graph.TensorsLength()):
                tensor = graph.Tensors(place)
                length = self._model.Buffers(tensor.Buffer()).DataLength()
                if length and tensor.Buffer() not in buffers:
                    buffers.add(tensor.Buffer())
                    sizes[dtype_name(tensor.Type()).lower()] += length
        return dict(sorted(sizes.items()))

    @property
    def interface_sizes(self) -> tuple[int, int]:
        """How many inputs and how many outputs there are."""
        return self._main.InputsLength(), self._main.OutputsLength()

    @property
    def output_names(self) -> list[str]:
        """What the file itself calls its outputs."""
        ids = self._main.OutputsAsNumpy()
        return [(self._main.Tensors(int(index)).Name() or b"").decode() for index in ids]

    def inputs(self, names: Sequence[str]) -> list[TensorInfo]:
        """Describe the inputs, which go by `names` in Keras."""
        ids = self._main.InputsAsNumpy()
        return [self.describe(index, name) for index, name in zip(ids, names, strict=True)]

    def outputs(self, names: Sequence[str]) -> list[TensorInfo]:
        """Describe the outputs, which go by `names` in Keras."""
        ids = self._main.OutputsAsNumpy()
        return [self.describe(index, name) for index, name in zip(ids, names, strict=True)]

    def _data(self, graph: Any, tensor: int) -> int:
        """Return the bytes that a tensor holds in the file: none if it is no constant."""
        return self._model.Buffers(graph.Tensors(tensor).Buffer()).DataLength()

    def describe(self, index: int, name: str) -> TensorInfo:
        """Describe a tensor of the main subgraph; not constants, which may have many scales."""
        tensor = self._main.Tensors(int(index))
        shape = tuple(int(size) for size in np.atleast_1d(tensor.ShapeAsNumpy()))
        dtype = dtype_name(tensor.Type()).lower()
        quantization = tensor.Quantization()
        if quantization is None or not quantization.ScaleLength():
            return TensorInfo(name, shape if tensor.ShapeLength() else (), dtype)
        scale, zero = float(quantization.Scale(0)), int(quantization.ZeroPoint(0))
        return TensorInfo(name, shape, dtype, scale, zero)
