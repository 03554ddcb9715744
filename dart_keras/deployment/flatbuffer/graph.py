from copy import copy
from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.serialization import (
    builtin_name,
    dtype_name,
    load_schema,
    operator_name,
)


class Graph:
    """The operators and tensors of one subgraph of a file, to ask about and to change.

    Tensors go by their index, operators by the objects of the schema. Tensors without a use may
    be left: `sweep` drops them.

    Args:
        model: The `ModelT` of the file.
        subgraph: One of its `subgraphs`, changed in place.
    """

    def __init__(self, model: Any, subgraph: Any) -> None:
        self._schema = load_schema()
        self._model, self._subgraph = model, subgraph
        self._refresh()

    @property
    def is_static(self) -> bool:
        """Whether the shapes of all tensors are known."""
        signatures = (tensor.shapeSignature for tensor in self._subgraph.tensors)
        return all(sizes is None or -1 not in sizes for sizes in signatures)

    def operators(self, *names: str) -> list[Any]:
        """Return the operators of these names, in the order in which they run."""
        return [operator for operator in self._subgraph.operators if self.name(operator) in names]

    def name(self, operator: Any) -> str:
        """Return an operator's builtin name."""
        return operator_name(self._model, operator)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        shape = self._subgraph.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def size(self, tensor: int) -> int:
        """Return the number of elements of a tensor."""
        return int(np.prod(self.shape(tensor)))

    def dtype(self, tensor: int) -> str:
        """Return the schema's name of a tensor's type, such as `"INT8"`."""
        return dtype_name(self._subgraph.tensors[tensor].type)

    def constant(self, tensor: int) -> np.ndarray | None:
        """Return the data of a constant: int32 elements if it has these, else bytes; else None."""
        data = self._model.buffers[self._subgraph.tensors[tensor].buffer].data
        if data is None or not len(data):
            return None
        return data.view("int32") if self.dtype(tensor) == "INT32" else data

    def bias(self, operator: Any) -> int:
        """Return the bias of a FULLY_CONNECTED; -1 if it has none."""
        return int(operator.inputs[2]) if len(operator.inputs) == 3 else -1

    def quantization(self, tensor: int) -> Any:
        """Return what a tensor's integers stand for; None or empty for one that has none."""
        return self._subgraph.tensors[tensor].quantization

    def scale(self, tensor: int) -> float:
        """Return the only scale of a quantized tensor."""
        [scale] = self.quantization(tensor).scale
        return float(scale)

    def producer(self, tensor: int) -> Any | None:
        """Return the operator that makes a tensor; None if it is an input or a constant."""
        return self._producers.get(tensor)

    def axes(self, tensor: int) -> list[int]:
        """Return the integers of a constant."""
        values = self.constant(tensor)
        return [] if values is None else [int(value) for value in values]

    def only_consumer(self, tensor: int) -> Any | None:
        """Return the operator that takes a tensor, if nothing else does; else None."""
        consumers = self._consumers.get(tensor, [])
        return consumers[0] if len(consumers) == 1 else None

    def add_tensor(self, like: int, shape: tuple[int, ...]) -> int:
        """Add a tensor that is like another but for its shape, and return its index."""
        tensor = copy(self._subgraph.tensors[like])
        tensor.shape = np.array(shape, "int32")
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1

    def add_int8(
        self, like: int, scale: float | np.ndarray, values: np.ndarray | None = None
    ) -> int:
        """Add a tensor of the shape of another, of int8 around zero, and return its index.

        Args:
            like: The other tensor.
            scale: What a step stands for; an array of these for each index of the first axis.
            values: The integers of a constant; None for a tensor that an operator makes.
        """
        place = self.add_tensor(like, self.shape(like))
        tensor = self._subgraph.tensors[place]
        tensor.type = self._schema.TensorType.INT8
        tensor.quantization = self._schema.QuantizationParametersT()
        tensor.quantization.scale = np.atleast_1d(scale).astype("float32")
        tensor.quantization.zeroPoint = np.zeros(np.size(scale), "int64")
        if values is not None:
            self._store(tensor, values)
        return place

    def add_int32(self, like: int, values: np.ndarray) -> int:
        """Add a constant like another but for its type, and return its index."""
        place = self.add_tensor(like, self.shape(like))
        self._subgraph.tensors[place].type = self._schema.TensorType.INT32
        self._store(self._subgraph.tensors[place], values.astype("int32"))
        return place

    def add_constant(self, values: np.ndarray) -> int:
        """Add a tensor that holds integers of 32 bits, and return its index."""
        tensor = self._schema.TensorT()
        tensor.shape = np.array(values.shape, "int32")
        tensor.type, tensor.hasRank = self._schema.TensorType.INT32, True
        self._store(tensor, values.astype("int32"))
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1

    def reshape(self, source: int, target: int) -> Any:
        """Make an operator that reshapes one tensor into another; `replace` puts it in place."""
        options = self._schema.ReshapeOptionsT()
        options.newShape = self._subgraph.tensors[target].shape
        return self._make("RESHAPE", options, [source], target)

    def transpose(self, source: int, target: int, order: tuple[int, ...]) -> Any:
        """Make an operator that transposes one tensor into another."""
        options = self._schema.TransposeOptionsT()
        return self._make(
            "TRANSPOSE", options, [source, self.add_constant(np.array(order))], target
        )

    def quantize(self, source: int, target: int) -> Any:
        """Make an operator that turns one tensor's integers into another's."""
        return self._make("QUANTIZE", self._schema.QuantizeOptionsT(), [source], target)

    def rewire(self, operator: Any, inputs: list[int], output: int | None = None) -> None:
        """Give an operator other inputs, and another output unless that is None."""
        operator.inputs = np.array(inputs, "int32")
        if output is not None:
            operator.outputs = np.array([output], "int32")
        self._refresh()

    def rename(self, operator: Any, name: str) -> None:
        """Make another operator without options of one."""
        operator.opcodeIndex = self._code(name)

    def replace(self, operators: list[Any], others: list[Any]) -> None:
        """Put other operators in the place of the last one of `operators`."""
        present, gone = self._subgraph.operators, {id(operator) for operator in operators}
        place = present.index(operators[-1])
        before, after = (
            [o for o in part if id(o) not in gone] for part in (present[:place], present[place:])
        )
        self._subgraph.operators = [*before, *others, *after]
        self._refresh()

    def _store(self, tensor: Any, values: np.ndarray) -> None:
        tensor.buffer = len(self._model.buffers)
        self._model.buffers.append(self._schema.BufferT())
        self._model.buffers[-1].data = values.view("uint8")

    def _make(self, name: str, options: Any, inputs: list[int], output: int) -> Any:
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._code(name)
        operator.inputs, operator.outputs = np.array(inputs, "int32"), np.array([output], "int32")
        operator.builtinOptions = options
        kind = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, kind)
        return operator

    def _code(self, name: str) -> int:
        for index, code in enumerate(self._model.operatorCodes):
            if builtin_name(code) == name:
                return index
        code = self._schema.OperatorCodeT()
        # The second field is for readers that know operators below 127 alone, as those made here.
        code.builtinCode = getattr(self._schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = code.builtinCode
        code.version = 1
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1

    def _refresh(self) -> None:
        self._producers: dict[int, Any] = {}
        self._consumers: dict[int, list[Any]] = {}
        for operator in self._subgraph.operators:
            self._producers |= {int(tensor): operator for tensor in operator.outputs}
            for tensor in operator.inputs:
                self._consumers.setdefault(int(tensor), []).append(operator)
        for tensor in self._subgraph.outputs:
            self._consumers.setdefault(int(tensor), []).extend([None, None])


def graphs_of(model: Any) -> list[Graph]:
    """Return the subgraphs of a `ModelT`, to be changed in place."""
    return [Graph(model, subgraph) for subgraph in model.subgraphs]
