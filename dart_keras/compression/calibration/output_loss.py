"""How far a model's outputs are from another's."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration.sequence_padding import VisibleRows

# Sums of numbers this close to 1 are those of probabilities, which float16 has, too.
_SUM_TOLERANCE = 1e-2
# Smaller probabilities have no gradient to speak of.
LEAST_PROBABILITY = 1e-12


def float_outputs(outputs: Any) -> list[Any]:
    """Return a model's outputs as a flat list, floats only."""
    flat = keras.tree.flatten(outputs)
    return [y for y in flat if "float" in keras.backend.standardize_dtype(y.dtype)]


def are_probabilities(outputs: Any) -> bool:
    """Return whether the values along the last axis are positive and add up to 1."""
    rows = _rows(outputs)
    sums = rows.sum(axis=1)
    return rows.shape[1] > 1 and rows.min() >= 0 and bool(np.all(abs(sums - 1) < _SUM_TOLERANCE))


def compared_outputs(outputs: Any, reference: Any) -> list[Any]:
    """Return a model's outputs, transformed so that squared differences measure their errors.

    Probabilities as twice their roots: for small differences the squared distance is then twice the
    Kullback-Leibler divergence, and a sure row counts as much as a doubtful one, though
    its probabilities hardly move.

    Args:
        outputs: Tensors of the model, from which gradients can be taken.
        reference: The outputs that say which ones are probabilities.
    """
    pairs = zip(float_outputs(outputs), float_outputs(reference), strict=True)
    return [
        2 * ops.sqrt(ops.maximum(ops.cast(y, "float32"), LEAST_PROBABILITY))
        if are_probabilities(known)
        else y
        for y, known in pairs
    ]


class OutputStatistics:
    """The variance of a model's outputs, and the squared distance of another's.

    The last axis holds the numbers of an output, all others count them. Each output tensor counts
    the same, whatever its scale; probabilities count as `compared_outputs` has them.

    Args:
        weights: How much each output counts; `None` for all alike.
    """

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        self._weights = weights
        self._sums: list[np.ndarray] = []
        self._counts: list[int] = []

    def add(self, expected: Any, received: Any = None, visible: VisibleRows | None = None) -> None:
        """Take in a batch of outputs.

        Args:
            expected: The reference's.
            received: What the other model makes of the same inputs.
            visible: Which rows are not padding; `None` if all are data.
        """

        def rows_of(outputs: Any) -> list[np.ndarray]:
            found = [_rows(y) for y in compared_outputs(outputs, expected)]
            if visible is None:
                return found
            given = float_outputs(expected)
            return [visible.rows_of(x, y) for x, y in zip(given, found, strict=True)]

        rows = rows_of(expected)
        others = rows if received is None else rows_of(received)
        if not self._sums:
            self._sums = [np.zeros((3, y.shape[1])) for y in rows]
            self._counts = [0] * len(rows)
        for k, (y, z) in enumerate(zip(rows, others, strict=True)):
            self._sums[k] += [y.sum(0), (y**2).sum(0), ((z - y) ** 2).sum(0)]
            self._counts[k] += len(y)

    def variances(self) -> list[float]:
        """Return for each output the sum of the variances of its elements.

        The mean square where the output does not vary at all.
        """
        found = []
        if not all(self._counts):
            raise ValueError(
                "Expected `calibration_data` that are not padding alone. Received: outputs whose "
                "mask hides all rows"
            )
        for (first, second, _), count in zip(self._sums, self._counts, strict=True):
            square = float(np.sum(second)) / count
            variance = square - float(np.sum((first / count) ** 2))
            found.append(variance if variance > 1e-9 * square else square or 1.0)
        return found

    def relative_error(self) -> float:
        """Return the squared distance relative to the variance, a mean over the outputs."""
        lost = [
            float(np.sum(sums[2])) / count
            for sums, count in zip(self._sums, self._counts, strict=True)
        ]
        ratios = [a / b for a, b in zip(lost, self.variances(), strict=True)]
        return float(np.average(ratios, weights=self._weights)) if ratios else 0.0


def end_error(
    expected: Iterable[Any],
    received: Iterable[Any],
    visible: Iterable[VisibleRows | None],
    weights: Sequence[float] | None = None,
) -> float:
    """Return the squared error of a model's outputs, relative to the variance of the reference's.

    Args:
        expected: The reference's outputs, batch by batch.
        received: The model's for the same batches.
        visible: Which rows of the batches are not padding.
        weights: As for `OutputStatistics`.
    """
    statistics = OutputStatistics(weights)
    for batch in zip(expected, received, visible, strict=True):
        statistics.add(*batch)
    return statistics.relative_error()


def _rows(outputs: Any) -> np.ndarray:
    array = np.asarray(ops.convert_to_numpy(outputs), np.float64)
    return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
