"""How a layer's errors change a model's outputs, by Gauss-Newton matrices."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.compression.calibration.batches import batch_size_of
from dart_keras.compression.calibration.counted_outputs import CountedOutputs
from dart_keras.compression.calibration.hooks import forward_hooks
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.output_loss import compared_outputs, float_outputs
from dart_keras.compression.calibration.sequence_padding import VisibleRows
from dart_keras.compression.compressible import CompressibleLayer
from dart_keras.utils.progress import progress

# Random directions in the outputs for each batch: fewer where two batches have rows enough.
_MOST_PROBES, _FEWEST_PROBES = 8, 2
# Rows of gradients that are enough of a layer, at least and for each number of its output.
_ENOUGH_ROWS = 2**14
_ROWS_PER_OUTPUT = 8
# So few numbers in a row of outputs are gone through one by one.
_FEW = 16
_FEWEST_ROWS, _MOST_ROWS = 128, 1024
# Rows of outputs that are enough, too, where a row of inputs makes many.
_ENOUGH_OUTPUT_ROWS = 1024
# Of outputs of layers and of the model at once. What derivatives need is several times as much.
_MOST_BYTES = 2**28


def gauss_newton_matrices(
    model: keras.Model,
    copies: dict[int, keras.Layer],
    compressibles: Sequence[CompressibleLayer],
    batches: Sequence[Any],
    visible: Sequence[VisibleRows],
    counted: CountedOutputs,
    variances: Sequence[float],
    numbers: float,
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
        visible: Which of their rows are not padding. Errors of others do not count.
        counted: Which outputs count, and how much.
        variances: Of the outputs, as from `OutputStatistics`.
        numbers: How many the layers' outputs and those that count hold for a row of inputs.

    Returns:
        Arrays of shape (M, M) in float32, which map an error of one row at the layer to the
        relative squared model output error; `None` for layers that the outputs do not depend on,
        and for all where Keras does not run on TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        return [None] * len(compressibles)
    import tensorflow as tf

    rng = np.random.default_rng(0)
    sums: list[Any] = [0.0] * len(compressibles)
    counts = [0] * len(compressibles)
    rows = output_rows = 0
    parts = _parts(model, batches, visible, max(1, int(_MOST_BYTES / 4 / numbers)))
    # More rows would say the same of a layer in sequences or pictures.
    unknown = list(range(len(compressibles)))
    for batch, shown in progress(parts, "differentiating outputs", len(parts)):
        seen: list[tuple[int, Any, Any]] = []
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

            def watch(
                place: int, inputs: Any, outputs: Any, tape: Any = tape, seen: Any = seen
            ) -> None:
                tape.watch(outputs)
                seen.append((place, inputs, outputs))

            with forward_hooks(copies, compressibles, watch):
                made = counted(infer(model, batch))
                outputs = compared_outputs(made, made)
        weights = [_row_weights(y, shown) for y in float_outputs(made)]
        # A row of the calibration data may make several rows of an output.
        scales = [
            weight
            * (
                counted.share(k, len(weights))
                / (variances[k] * max(1.0, np.sum(weight) / len(weight)))
            )
            ** 0.5
            for k, weight in enumerate(weights)
        ]
        shapes = [tuple(y.shape) for y in outputs]
        most = max((_rows(z, compressibles[place]) for place, _, z in seen), default=1)
        count = min(max(math.ceil(_ENOUGH_ROWS / 2 / most), _FEWEST_PROBES), _MOST_PROBES)
        for directions in _directions(shapes, count, rng):
            probes = [
                tf.constant(direction * scale.astype(np.float32), y.dtype)
                for y, direction, scale in zip(outputs, directions, scales, strict=True)
            ]
            gradients = tape.gradient(outputs, [z for *_, z in seen], output_gradients=probes)
            for (place, inputs, _), gradient in zip(seen, gradients, strict=True):
                if gradient is not None and place in unknown:
                    g = compressibles[place].output_rows(np.asarray(gradient, np.float32))
                    g = shown.rows_of(inputs, g)
                    # TensorFlow's product in single precision takes a fraction of NumPy's time.
                    sums[place] = sums[place] + tf.matmul(g, g, True).numpy()
                    counts[place] += len(g)
        del tape
        rows += len(keras.tree.flatten(batch)[0])
        output_rows += max((int(np.sum(weight)) for weight in weights), default=0)
        is_enough = rows >= _FEWEST_ROWS or output_rows >= _ENOUGH_OUTPUT_ROWS
        # Layers that the outputs do not depend on stay unknown.
        unknown = [
            place
            for place in unknown
            if counts[place] and not (is_enough and counts[place] >= _enough(compressibles[place]))
        ]
        if rows >= _MOST_ROWS or not unknown:
            break
    return [
        total / count if count and np.trace(total) > 0 else None
        for total, count in zip(sums, counts, strict=True)
    ]


def _parts(
    model: keras.Model, batches: Sequence[Any], visible: Sequence[VisibleRows], most_rows: int
) -> list[tuple[Any, VisibleRows]]:
    """Return batches of no more rows, and which of their rows are not padding."""
    found: list[tuple[Any, VisibleRows]] = []
    for batch, shown in zip(batches, visible, strict=True):
        rows = len(keras.tree.flatten(batch)[0])
        # A model may be bound to a number.
        if rows <= most_rows or batch_size_of(model) is not None:
            found.append((batch, shown))
            continue
        for start in range(0, rows, most_rows):
            taken = slice(start, start + most_rows)
            part = keras.tree.map_structure(lambda x, taken=taken: x[taken], batch)
            found.append((part, VisibleRows(model, part)))
    return found


def _rows(outputs: Any, compressible: CompressibleLayer) -> int:
    # The heads of attention are axes, too.
    return math.prod(outputs.shape) // compressible.kernel.shape[1]


def _enough(compressible: CompressibleLayer) -> int:
    return max(_ENOUGH_ROWS, _ROWS_PER_OUTPUT * compressible.kernel.shape[1])


def _row_weights(outputs: Any, visible: VisibleRows) -> np.ndarray:
    """Return 1 for the rows of an output and 0 for those of padding, of shape (rows, ..., 1)."""
    axes = tuple(outputs.shape[:-1]) or (1,)
    rows = visible.of(outputs, math.prod(axes))
    weights = np.ones(axes) if rows is None else rows.reshape(axes).astype(float)
    return weights[..., None] if len(outputs.shape) > 1 else weights


def _directions(
    shapes: Sequence[tuple[int, ...]], count: int, rng: np.random.Generator
) -> Iterator[list[np.ndarray]]:
    """Yield directions v in outputs of some shapes; the mean of v v' is close to the identity."""
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] <= _FEW:
        numbers = shapes[0][1]
        for k in range(numbers):
            yield [np.broadcast_to(np.sqrt(numbers) * np.eye(numbers)[k], shapes[0])]
        return
    for _ in range(count):
        yield [rng.standard_normal(shape, np.float32) for shape in shapes]
