import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.passes import apply_passes
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.serialization import copy_parsed, pack, sweep, unpack
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo
from dart_keras.deployment.post_training.tensor_values import TensorValues
from dart_keras.deployment.post_training.tflite_converter import FileConverter, layers_at
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.function import Exported
from dart_keras.utils.table import Table, Tabular


@dataclass(frozen=True)
class OperatorError:
    """How far one operator of a quantized file is from float, in the first of its outputs.

    Attributes:
        place: Its place among the file's operators.
        layer: The path of the Keras layer that it comes from; empty if that cannot be told.
        operator: Its builtin name.
        step: For one of several products of matrices in its layer, such as those of a TT
            contraction: which it is, counted from 1, and of how many; else None.
        added_db: The power of its output over that of the error that it adds itself (by rounding
            weights and results and by cutting off), in decibels. Infinite where it adds none, None
            where the float file has no such operator, or its output is not finite.
        accumulated_db: The same for all errors since the model's input, whose rounding is the
            first; None where the float file has no such output.
    """

    place: int
    layer: str
    operator: str
    step: tuple[int, int] | None
    added_db: float | None
    accumulated_db: float | None

    def __str__(self) -> str:
        layer = f" of {self.layer}" if self.layer else ""
        step = f", {_step(self)}" if self.step else ""
        return f"{self.place} {self.operator}{layer}{step}"


@dataclass(frozen=True, repr=False)
class OperatorErrors(Tabular):
    """Where a quantized file loses its precision. It prints itself as a table.

    Attributes:
        model: The Keras model's name.
        quantization: `"int8"` or `"int16x8"`.
        operators: The file's operators, in the order in which they run.
    """

    model: str
    quantization: str
    operators: Sequence[OperatorError]

    @property
    def worst(self) -> OperatorError | None:
        """The operator that adds the strongest error, beside its output; None if none is known."""
        known = [row for row in self.operators if row.added_db is not None]
        return min(known, key=lambda row: row.added_db or 0.0, default=None)

    def as_table(self) -> Table:
        """Return one row for each operator, and the worst one below them."""
        worst = self.worst
        return Table(
            ("", "layer", "operator", "step", "added", "accumulated"),
            "rlllrr",
            [
                (
                    str(row.place),
                    row.layer,
                    row.operator,
                    _step(row),
                    _decibels(row.added_db),
                    _decibels(row.accumulated_db),
                )
                for row in self.operators
            ],
            title=f"Model {self.model!r}, {self.quantization}: signal-to-noise ratio in dB of each "
            "operator's output",
            notes=[] if worst is None else [f"Worst: {worst}, {_decibels(worst.added_db)} dB"],
        )


def _step(row: OperatorError) -> str:
    return "product {} of {}".format(*row.step) if row.step else ""


def _decibels(value: float | None) -> str:
    if value is None:
        return "?"
    return "exact" if value == float("inf") else f"{value:.1f}"


_PRODUCTS = ("FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")


def operator_errors(
    content: bytes, exported: Exported, arrays: Sequence[np.ndarray]
) -> list[OperatorError]:
    """Compare every operator of a quantized file with the float32 file of the same function.

    TensorFlow's `QuantizationDebugger` would quantize the function anew, without what is folded
    and scaled in this file, so that its figures would be those of another one.

    Args:
        content: The file, with the names of its tensors.
        exported: The function that it was made from.
        arrays: For each input an array of real values or ids of shape (rows, ...).
    """
    plain = FileConverter(exported, SCHEMES["float32"], ()).model()
    apply_passes(plain, "optimize", ["litert"])
    plain_content = pack(plain)
    nodes = _nodes(unpack(content), content)
    # The converter names an operator's output alike in both files.
    float_nodes = {node.outputs[0].name: node for node in _nodes(plain, plain_content)}
    # What a mask puts below their range is as good as at its end.
    into_softmax = {
        name
        for node in nodes
        if node.kind == "SOFTMAX"
        for name in (info.name for info in node.inputs.values())
    }
    pairs = [
        _Pair(
            node, float_nodes.get(node.outputs[0].name), plain, node.outputs[0].name in into_softmax
        )
        for node in nodes
    ]
    quantized, floats = _inspected(content), TensorValues(plain_content, "builtin")
    infos = ModelFile(content).inputs([spec.name for spec in exported.signature.inputs])
    for row in zip(*arrays, strict=True):
        quantized.invoke([i.quantize(v) for i, v in zip(infos, row, strict=True)])
        floats.invoke(row)
        for pair in pairs:
            pair.compare(quantized, floats)

    layers = [next(iter(layers_at([p], content, exported)), "") for p in range(len(nodes))]
    products = [
        layer if node.kind in _PRODUCTS else None for layer, node in zip(layers, nodes, strict=True)
    ]
    counts, seen = Counter(products), Counter[str | None]()
    report = []
    for place, (pair, layer, product) in enumerate(zip(pairs, layers, products, strict=True)):
        seen[product] += 1
        several = product is not None and counts[product] > 1
        step = (seen[product], counts[product]) if several else None
        added, accumulated = pair.added.decibels, pair.accumulated.decibels
        report.append(OperatorError(place, layer, pair.node.kind, step, added, accumulated))
    return report


def _inspected(content: bytes) -> TensorValues:
    try:
        return TensorValues(content, "reference")
    except ValueError:
        # Of some operators, such as ELU, LiteRT has no reference kernel.
        return TensorValues(content, "builtin")


@dataclass(frozen=True)
class _Node:
    """An operator of a file: its place, builtin name, and tensors, with the indices of these."""

    place: int
    kind: str
    inputs: dict[int, TensorInfo]
    indices: list[int]
    outputs: list[TensorInfo]


def _nodes(model: Any, content: bytes) -> list[_Node]:
    """Describe the operators of a file, given as parsed and as written."""
    file, main = ModelFile(content), model.subgraphs[0]
    graph = Graph(model, main)

    def described(indices: Sequence[int]) -> dict[int, TensorInfo]:
        return {int(k): file.describe(k, main.tensors[k].name.decode()) for k in indices}

    nodes = []
    for place, operator in enumerate(main.operators):
        outputs = described(operator.outputs)
        given: Any = described(activations(graph, operator))
        name = graph.name(operator)
        nodes.append(_Node(place, name, given, list(outputs), list(outputs.values())))
    return nodes


@dataclass
class _Noise:
    """The power of a signal and that of its error, summed over rows."""

    signal: float = 0.0
    noise: float = 0.0
    rows: int = 0

    def add(self, wanted: np.ndarray, received: np.ndarray) -> None:
        wanted, received = wanted.ravel().astype("float64"), received.ravel().astype("float64")
        self.signal += float(wanted @ wanted)
        self.noise += float(np.sum((received - wanted) ** 2))
        self.rows += 1

    @property
    def decibels(self) -> float | None:
        # The inverse root of a variance that was rounded to zero, say, is no number.
        if not self.rows or not math.isfinite(self.noise):
            return None
        if not self.noise:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


@dataclass
class _Pair:
    """An operator on integers, and the same one on floats; None where there is none."""

    node: _Node
    float_node: _Node | None
    plain: Any
    cut_off: bool
    added: _Noise = field(default_factory=_Noise)
    accumulated: _Noise = field(default_factory=_Noise)

    def __post_init__(self) -> None:
        self._alone = None
        if self.float_node is not None and self._is_alike(self.float_node):
            self._alone = TensorValues(
                single_operator(self.plain, self.float_node.place), "builtin"
            )

    def compare(self, quantized: TensorValues, floats: TensorValues) -> None:
        """Add the errors of one row, which both files have just run on."""
        if self.float_node is None:
            return
        info = self.node.outputs[0]
        received = info.dequantize(quantized.tensor(self.node.indices[0]))
        self.accumulated.add(self._in_range(floats.tensor(self.float_node.indices[0])), received)
        if self._alone is not None:
            given = self.node.inputs.items()
            self._alone.invoke([i.dequantize(quantized.tensor(index)) for index, i in given])
            self.added.add(self._in_range(self._alone.output(0)), received)

    def _in_range(self, wanted: np.ndarray) -> np.ndarray:
        info = self.node.outputs[0]
        if not self.cut_off or info.scale is None:
            return wanted
        return np.maximum(wanted, info.dequantize(np.array(np.iinfo(info.dtype).min, info.dtype)))

    def _is_alike(self, float_node: _Node) -> bool:
        sizes = [
            [math.prod(info.shape) for info in node.inputs.values()]
            for node in (self.node, float_node)
        ]
        return self.node.kind == float_node.kind and sizes[0] == sizes[1]


def activations(graph: Graph, operator: Any) -> list[int]:
    """Return the tensors that an operator is given when a file runs, each once, in order."""
    given = (int(tensor) for tensor in dict.fromkeys(operator.inputs) if tensor >= 0)
    return [tensor for tensor in given if graph.constant(tensor) is None]


def single_operator(model: Any, place: int) -> bytes:
    """Take one operator out of a file, with its constants, as a file of its own.

    Args:
        model: The `ModelT` of the file, which stays as it is.
        place: The operator's place in the main subgraph.

    Returns:
        A file whose inputs are the operator's `activations` and whose outputs are its outputs.
    """
    model = copy_parsed(model)
    main = model.subgraphs[0]
    operator = main.operators[place]
    main.inputs = np.array(activations(Graph(model, main), operator), "int32")
    main.outputs = operator.outputs
    main.operators = [operator]
    model.signatureDefs = None
    sweep(model)
    return pack(model)
