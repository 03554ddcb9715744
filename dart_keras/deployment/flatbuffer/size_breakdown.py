from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dart_keras.deployment.flatbuffer.serialization import (
    dtype_name,
    operator_name,
    pack_with_padding,
    unpack,
)

# Where these operators have their bias; an addition has it on either side.
_BIASES = {
    "FULLY_CONNECTED": (2,),
    "CONV_2D": (2,),
    "DEPTHWISE_CONV_2D": (2,),
    "TRANSPOSE_CONV": (3,),
    "ADD": (0, 1),
}


@dataclass(frozen=True)
class FileParts:
    """What the bytes of a file are for. The parts add up to the file.

    Attributes:
        weights: Bytes of the model's constants, by dtype, without the biases.
        biases: Bytes of what is added to the results of products.
        scales: Bytes of scales and zero points.
        graph: Bytes of everything else: operators, tensors, shapes, axes, names and references.
        padding: Bytes between these, for their alignment.
    """

    weights: dict[str, int]
    biases: int
    scales: int
    graph: int
    padding: int

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return sum(self.weights.values()) + self.biases + self.scales + self.graph + self.padding

    @property
    def limit(self) -> float:
        """The most bytes of a small file: its biases, 1.25 times its other weights, and 2 KiB."""
        return _limit(sum(self.weights.values()), self.biases)

    def __str__(self) -> str:
        weights = " + ".join(f"{size:,} {dtype}" for dtype, size in self.weights.items())
        return (
            f"weights {weights or 0}, biases {self.biases:,}, scales {self.scales:,}, "
            f"graph {self.graph:,}, padding {self.padding:,}"
        )


def file_parts(content: bytes) -> FileParts:
    """Tell what the bytes of a file are for.

    Args:
        content: A file that `pack` wrote.

    Raises:
        ValueError: If another program wrote the file.
    """
    model = unpack(content)
    written, gaps = pack_with_padding(model)
    if written != content:
        raise ValueError("Expected a file that `pack` wrote. Received: another one")
    weights, biases, scales = *_constant_bytes(model), _scale_bytes(model)
    empty = sum(count for _, count in gaps)
    graph = len(content) - weights.total() - biases - scales - empty
    return FileParts(dict(sorted(weights.items())), biases, scales, graph, empty)


def size_limit(model: Any) -> float:
    """Return `FileParts.limit` of the file that `pack` makes of a `ModelT`."""
    weights, biases = _constant_bytes(model)
    return _limit(weights.total(), biases)


def _limit(weights: int, biases: int) -> float:
    return 1.25 * weights + biases + 2048


def _constant_bytes(model: Any) -> tuple[Counter[str], int]:
    """Return the bytes of weights by their dtype, and those of biases."""
    constants = _real_constants(model)
    beside = set(_bias_buffers(model)) & set(constants)
    weights: Counter[str] = Counter()
    for buffer, dtype in constants.items():
        if buffer not in beside:
            weights[dtype] += len(model.buffers[buffer].data)
    return weights, sum(len(model.buffers[buffer].data) for buffer in beside)


def _real_constants(model: Any) -> dict[int, str]:
    """Return the buffers of constants that stand for real values, with their dtypes."""
    found = {}
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        dtype, data = dtype_name(tensor.type).lower(), model.buffers[tensor.buffer].data
        # Integers that stand for themselves are shapes and axes.
        is_real = dtype.startswith("float") or _scale_vectors(tensor)
        if is_real and data is not None and len(data):
            found[int(tensor.buffer)] = dtype
    return found


def _bias_buffers(model: Any) -> Iterator[int]:
    for graph in model.subgraphs:
        for operator in graph.operators:
            for place in _BIASES.get(operator_name(model, operator), ()):
                if place < len(operator.inputs) and operator.inputs[place] >= 0:
                    yield int(graph.tensors[operator.inputs[place]].buffer)


def _scale_bytes(model: Any) -> int:
    # Equal ones are in the file once.
    vectors = {
        (vector.dtype.str, vector.tobytes())
        for graph in model.subgraphs
        for tensor in graph.tensors
        for vector in _scale_vectors(tensor)
    }
    return sum(len(data) for _, data in vectors)


def _scale_vectors(tensor: Any) -> list[Any]:
    quantization = tensor.quantization
    vectors = [] if quantization is None else [quantization.scale, quantization.zeroPoint]
    return [vector for vector in vectors if vector is not None and len(vector)]
