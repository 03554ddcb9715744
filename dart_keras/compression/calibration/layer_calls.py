"""How often a model's compressible layers are called, and for how many rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from dart_keras.calibration_data import rows_in
from dart_keras.compression.calibration.counted_outputs import CountedOutputs
from dart_keras.compression.calibration.hooks import forward_hooks
from dart_keras.compression.calibration.inference import check_finite_outputs
from dart_keras.compression.calibration.output_loss import OutputStatistics
from dart_keras.compression.calibration.partial_runs import Outputs
from dart_keras.compression.calibration.sequence_padding import VisibleRows, visible_rows
from dart_keras.compression.compressible import CompressibleLayer

# Rows of a layer's inputs that show well enough what they have in common: sequences and pictures
# make many of each row of the model's inputs.
_ENOUGH_ROWS = 2**15
_ROWS_PER_INPUT = 16


class LayerCalls(NamedTuple):
    """How often layers are called and for how many rows.

    Attributes:
        outputs: The model's outputs for each batch.
        counted: Which of them count.
        output_statistics: Of all batches.
        order: The places of the layers that are called, the first call first.
        rows: For each layer, its rows for one row of the model's inputs.
        visible_rows: Those of them that are not padding.
        visible: Which rows of the batches are not padding.
        steps: For each layer, of how many rows one is enough.
        in_a_batch: By a layer's place its calls in a batch, where all batches have as many.
    """

    outputs: Outputs
    counted: CountedOutputs
    output_statistics: OutputStatistics
    order: list[int]
    rows: list[float]
    visible_rows: list[float]
    visible: list[VisibleRows]
    steps: list[int]
    in_a_batch: dict[int, int]


def count_calls(
    model: keras.Model,
    copies: dict[int, keras.Layer],
    compressibles: Sequence[CompressibleLayer],
    batches: Sequence[Any],
    counted: CountedOutputs,
    places: Sequence[np.ndarray] | None = None,
) -> LayerCalls:
    """Run a model on batches and count.

    Args:
        model: A copy of the model that the layers are of.
        copies: By the `id` of a layer of the model its copy.
        compressibles: Compressible layers of the model.
        batches: Inputs.
        counted: Which outputs count.
        places: As of `CalibrationBatches`.

    Raises:
        ValueError: If outputs are not finite, or the data are nothing but padding.
    """
    statistics = OutputStatistics(counted.weights)
    counts: dict[int, int] = {}
    shown: dict[int, int] = {}
    calls: dict[int, int] = {}
    visible = visible_rows(model, batches)
    present: list[int] = []

    def count(place: int, inputs: Any, outputs: Any) -> None:
        rows = len(compressibles[place].output_rows(as_array(outputs)))
        which = visible[present[-1]].of(inputs, rows)
        counts[place] = counts.get(place, 0) + rows
        shown[place] = shown.get(place, 0) + (rows if which is None else int(np.sum(which)))
        calls[place] = calls.get(place, 0) + 1

    with forward_hooks(copies, compressibles, count):
        outputs = Outputs(model, batches, present.append)
    samples = 0
    for place, batch in enumerate(batches):
        size = rows_in(batch)
        numbers = np.arange(samples, samples + size) if places is None else places[place]
        check_finite_outputs(model, outputs(place), numbers)
        statistics.add(counted(outputs(place)), visible=visible[place])
        samples += size
    return LayerCalls(
        outputs,
        counted,
        statistics,
        list(counts),
        [counts.get(place, 0) / samples for place in range(len(compressibles))],
        [shown.get(place, 0) / samples for place in range(len(compressibles))],
        visible,
        [_step(each, shown.get(k, 0)) for k, each in enumerate(compressibles)],
        # Unless the model decides by the data how often a layer is called.
        {k: n // len(batches) for k, n in calls.items() if not n % len(batches)},
    )


def _step(compressible: CompressibleLayer, rows: int) -> int:
    """Of how many rows one is taken, so that there are enough of them and not many more."""
    return max(1, rows // max(_ENOUGH_ROWS, _ROWS_PER_INPUT * len(compressible.kernel)))


def as_array(tensor: Any) -> np.ndarray:
    """Return a tensor of any backend as an array."""
    return np.asarray(ops.convert_to_numpy(tensor))
