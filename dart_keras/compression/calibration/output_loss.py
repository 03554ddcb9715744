"""How far a model's outputs are from another's, and what each layer's errors do to them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration.hooks import listening
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.compressible import CompressibleLayer
from dart_keras.utils.progress import progress

# Random directions in the outputs for each batch, and rows that are enough of them.
_PROBES = 8
# Rows of gradients that are enough of a layer, at least and for each number of its output.
_ENOUGH_ROWS = 2**14
_ROWS_PER_OUTPUT = 16
# So few numbers in a row of outputs are gone through one by one.
_FEW = 16
_MOST_ROWS = 1024


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
    """

    def __init__(self) -> None:
        self._sums: list[np.ndarray] = []
        self._counts: list[int] = []

    def add(self, expected: Any, received: Any = None) -> None:
        """Take in a batch of outputs, and what the other model makes of the same inputs."""
        rows = [_rows(y) for y in compared_outputs(expected, expected)]
        others = rows
        if received is not None:
            others = [_rows(y) for y in compared_outputs(received, expected)]
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
        for (first, second, _), count in zip(self._sums, self._counts, strict=True):
            square = float(np.sum(second)) / count
            variance = square - float(np.sum((first / count) ** 2))
            found.append(variance if variance > 1e-9 * square else square or 1.0)
        return found

    def relative_error(self) -> float:
        """Return the squared distance relative to the variance, averaged over the outputs."""
        lost = [
            float(np.sum(sums[2])) / count
            for sums, count in zip(self._sums, self._counts, strict=True)
        ]
        ratios = [a / b for a, b in zip(lost, self.variances(), strict=True)]
        return float(np.mean(ratios)) if ratios else 0.0


def end_error(expected: Iterable[Any], received: Iterable[Any]) -> float:
    """Return the squared error of a model's outputs, relative to the variance of the reference's.

    Args:
        expected: The reference's outputs, batch by batch.
        received: The model's for the same batches.
    """
    statistics = OutputStatistics()
    for pair in zip(expected, received, strict=True):
        statistics.add(*pair)
    return statistics.relative_error()


def sensitivities(
    model: keras.Model,
    copies: dict[int, keras.Layer],
    compressibles: Sequence[CompressibleLayer],
    batches: Sequence[Any],
    variances: Sequence[float],
) -> list[np.ndarray | None]:
    """Return E[J'J] for each layer, J the derivative of the model's outputs by the layer's.

    Estimated by random directions v in the outputs, for which E[v v'] is the identity (Hutchinson
    1990), the outputs divided by the root of their variance; exact for the rows at hand where an
    output row holds few numbers.

    Args:
        model: A copy of the model that the layers are of.
        copies: By the `id` of a layer of the model its copy.
        compressibles: Compressible layers of the model.
        batches: Inputs.
        variances: Of the outputs, as from `OutputStatistics`.

    Returns:
        Arrays of shape (M, M), which map an error of one row at the layer to the relative squared
        model output error; `None` for layers that the outputs do not depend on, and for all where
        Keras does not run on TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        return [None] * len(compressibles)
    import tensorflow as tf

    rng = np.random.default_rng(0)
    sums: list[Any] = [0.0] * len(compressibles)
    counts = [0] * len(compressibles)
    rows = 0
    for batch in progress(batches, "differentiating outputs"):
        seen: list[tuple[int, Any]] = []
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

            def watch(place: int, _: Any, outputs: Any, tape: Any = tape, seen: Any = seen) -> None:
                tape.watch(outputs)
                seen.append((place, outputs))

            with listening(copies, compressibles, watch):
                outputs = infer(model, batch)
                outputs = compared_outputs(outputs, outputs)
        # A row of the calibration data may make several rows of an output.
        scales = [
            (len(variances) * variance * max(1, math.prod(y.shape[1:-1]))) ** -0.5
            for y, variance in zip(outputs, variances, strict=True)
        ]
        # More rows would say the same of a layer in sequences or pictures.
        unknown = [
            place
            for place, compressible in enumerate(compressibles)
            if counts[place] < max(_ENOUGH_ROWS, _ROWS_PER_OUTPUT * compressible.kernel.shape[1])
        ]
        shapes = [tuple(y.shape) for y in outputs]
        for directions in _directions(shapes, rng):
            probes = [
                tf.constant(direction * scale, y.dtype)
                for y, direction, scale in zip(outputs, directions, scales, strict=True)
            ]
            gradients = tape.gradient(outputs, [z for _, z in seen], output_gradients=probes)
            for (place, _), gradient in zip(seen, gradients, strict=True):
                if gradient is not None and place in unknown:
                    g = compressibles[place].output_rows(np.asarray(gradient, np.float32))
                    # TensorFlow's product in single precision takes a fraction of NumPy's time.
                    sums[place] = sums[place] + tf.matmul(g, g, True).numpy().astype(np.float64)
                    counts[place] += len(g)
        del tape
        rows += len(keras.tree.flatten(batch)[0])
        if rows >= _MOST_ROWS:
            break
    return [
        total / count if count and np.trace(total) > 0 else None
        for total, count in zip(sums, counts, strict=True)
    ]


def _directions(
    shapes: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> Iterator[list[np.ndarray]]:
    """Yield directions v in outputs of some shapes; the mean of v v' is close to the identity."""
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] <= _FEW:
        numbers = shapes[0][1]
        for k in range(numbers):
            yield [np.broadcast_to(np.sqrt(numbers) * np.eye(numbers)[k], shapes[0])]
        return
    for _ in range(_PROBES):
        yield [rng.normal(size=shape) for shape in shapes]


def _rows(outputs: Any) -> np.ndarray:
    array = np.asarray(ops.convert_to_numpy(outputs), np.float64)
    return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
