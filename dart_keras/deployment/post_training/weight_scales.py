from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.serialization import copy_parsed, operator_name, pack, sweep

# The decibels that may be lost beyond the tolerance to make a file with many scales small.
EXTRA_TOLERANCE = 1.0
# The operators whose second input may have a scale for each channel.
_WEIGHTED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")


@dataclass(frozen=True)
class WeightScales:
    """How the weights of a quantized file are scaled.

    Attributes:
        per_channel: How many operators' weights have a scale for each channel.
        per_tensor: How many have a single one in place of that.
    """

    per_channel: int
    per_tensor: int

    @property
    def kind(self) -> str:
        """`"per-channel"`, `"per-tensor"` or `"mixed"`."""
        if not self.per_tensor:
            return "per-channel"
        return "mixed" if self.per_channel else "per-tensor"

    def as_dict(self) -> dict[str, int]:
        """Return how many operators' weights have which scales, for a report in JSON."""
        return {"per-channel": self.per_channel, "per-tensor": self.per_tensor}


def weight_scales_of(model: Any) -> WeightScales:
    """Return how the weights of a `ModelT` are scaled, of those that have several channels."""
    counts = [
        _count_scales(tensor)
        for graph in model.subgraphs
        for operator in graph.operators
        if operator_name(model, operator) in _WEIGHTED
        for tensor in [graph.tensors[operator.inputs[1]]]
        if _count_scales(tensor) and _count_channels(tensor) > 1
    ]
    single = counts.count(1)
    return WeightScales(len(counts) - single, single)


def choose_scales(
    per_channel: Any,
    per_tensor: Any,
    decibels: Callable[[bytes], Sequence[float]],
    tolerance: float,
    is_small: Callable[[Any], bool],
) -> tuple[Any, WeightScales]:
    """Give weights a single scale where that makes the file smaller and hardly worse.

    Weights are taken in the order of the error that a single scale adds for each scale saved,
    least first, until an output's signal-to-noise ratio would fall by more than the tolerance. The
    file may still not be small, because a matrix of few rows has more bytes of scales than of
    weights. Then more weights are taken until it is, if that costs no more than one decibel beyond
    the tolerance.

    Args:
        per_channel: The `ModelT` of a file with a scale for each channel.
        per_tensor: That of the same file with one scale for all of each operator's weights.
        decibels: The signal-to-noise ratios of a file's outputs.
        tolerance: How many decibels a smaller file may cost.
        is_small: Whether the file of a `ModelT` is small enough.

    Returns:
        A new `ModelT`, and how its weights are scaled.
    """
    weights = _by_added_error(per_channel, per_tensor)
    best = decibels(pack(per_channel))

    def mixed(count: int) -> Any:
        return _spliced(per_channel, per_tensor, weights[:count])

    def good(count: int, tolerance: float) -> bool:
        ratios = zip(decibels(pack(mixed(count))), best, strict=True)
        return all(ratio >= least - tolerance for ratio, least in ratios)

    fine, bad = 0, len(weights) + 1
    while bad - fine > 1:
        # All of them first: if that is good, there is nothing to search for.
        middle = len(weights) if bad > len(weights) else (fine + bad) // 2
        if good(middle, tolerance):
            fine = middle
        else:
            bad = middle
    if not is_small(mixed(fine)):
        counts = range(len(weights) + 1)
        enough = bisect_left(counts, True, lo=fine + 1, key=lambda count: is_small(mixed(count)))
        # Rounding errors may also make up for each other, so a larger count may be better.
        more = (count for count in counts[enough:] if good(count, tolerance + EXTRA_TOLERANCE))
        fine = next(more, fine)
    chosen = mixed(fine)
    return chosen, weight_scales_of(chosen)


def _by_added_error(model: Any, other: Any) -> list[tuple[int, int]]:
    """Return where the weights that differ are (subgraph, tensor), the least error added first."""
    added: dict[tuple[int, int], float] = {}
    for place, operator, counterpart in _pairs(model, other):
        fine = model.subgraphs[place].tensors[operator.inputs[1]]
        coarse = other.subgraphs[place].tensors[counterpart.inputs[1]]
        saved = _count_scales(fine) - _count_scales(coarse)
        # Weights may also be computed while the file runs.
        constants = model.buffers[fine.buffer].data, other.buffers[coarse.buffer].data
        if saved > 0 and all(data is not None for data in constants):
            exact, rough = _real(model, fine), _real(other, coarse)
            loss = np.sum((exact - rough) ** 2) / max(np.sum(exact**2), np.finfo("float64").tiny)
            added[place, int(operator.inputs[1])] = float(loss) / saved
    return sorted(added, key=added.__getitem__)


def _spliced(per_channel: Any, per_tensor: Any, weights: Sequence[tuple[int, int]]) -> Any:
    """Return a copy of the first file with these weights, and their biases, of the second."""
    model = copy_parsed(per_channel)
    for place, operator, counterpart in _pairs(model, per_tensor):
        if (place, int(operator.inputs[1])) not in weights:
            continue
        for tensor, its in zip(operator.inputs[1:], counterpart.inputs[1:], strict=True):
            if tensor >= 0:
                mine = model.subgraphs[place].tensors[tensor]
                theirs = per_tensor.subgraphs[place].tensors[its]
                mine.quantization, mine.buffer = copy(theirs.quantization), len(model.buffers)
                model.buffers.append(per_tensor.buffers[theirs.buffer])
    sweep(model)
    return model


def _pairs(model: Any, other: Any) -> Iterator[tuple[int, Any, Any]]:
    """Yield each operator with weights: its subgraph, itself, and its counterpart in the other."""
    for place, (graph, other_graph) in enumerate(
        zip(model.subgraphs, other.subgraphs, strict=True)
    ):
        # Not by their places: operators that do not wait for each other may come in any order.
        counterparts = {other_graph.tensors[o.outputs[0]].name: o for o in other_graph.operators}
        for operator in graph.operators:
            same = counterparts.get(graph.tensors[operator.outputs[0]].name)
            if operator_name(model, operator) in _WEIGHTED and same is not None:
                yield place, operator, same


def _count_scales(tensor: Any) -> int:
    scales = None if tensor.quantization is None else tensor.quantization.scale
    return 0 if scales is None else len(scales)


def _count_channels(tensor: Any) -> int:
    return int(tensor.shape[tensor.quantization.quantizedDimension])


def _real(model: Any, tensor: Any) -> np.ndarray:
    """Return the values that the integers of weights stand for; their zero points are zero."""
    values = model.buffers[tensor.buffer].data.view("int8").reshape(tensor.shape)
    shape = [1] * values.ndim
    shape[tensor.quantization.quantizedDimension] = -1
    return values * np.asarray(tensor.quantization.scale, "float64").reshape(shape)
