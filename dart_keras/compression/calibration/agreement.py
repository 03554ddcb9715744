"""How far a compressed model agrees with the original."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.calibration_data import rows_in
from dart_keras.compression.calibration.counted_outputs import CountedOutputs
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.sequence_padding import VisibleRows
from dart_keras.utils.output_agreement import (
    OutputDistance,
    output_names,
    rows_not_finite,
    shortfall,
)

# A share of them is known to two percent or so, whatever it is.
_MOST_ROWS = 1024


@dataclass(frozen=True)
class Agreement:
    """What a model makes of rows, compared with what it was made of.

    Attributes:
        rows: How many rows were compared.
        outputs: For each output a dict as `Artifact.verify` gives one for a file: with
            "argmax_agreement", the share of rows with the same largest class, where the last axis
            has more than one element, and "sqnr_db", the power of the original's output over that
            of the difference, in decibels.
        are_chosen: Whether it was said which outputs matter.
    """

    rows: int
    outputs: tuple[dict[str, Any], ...]
    are_chosen: bool = False

    def shortfalls(self) -> list[str]:
        """Return in words in which outputs the models agree too little, and what the limits are."""
        return [text for text in map(shortfall, self.outputs) if text is not None]


def measure_agreement(
    original: keras.Model,
    small: keras.Model,
    batches: Sequence[Any],
    counted: CountedOutputs | None = None,
) -> Agreement:
    """Return how far a model agrees with the one that it was made of.

    Args:
        original: The one that it was made of.
        small: The model.
        batches: Batches that both take, of which some are used, evenly spaced. The original's
            outputs for them are finite.
        counted: Which outputs count; `None` for all.

    Raises:
        ValueError: If an output of the model is not finite.
    """
    rows = sum(map(rows_in, batches))
    batches = batches[:: -(-rows // _MOST_ROWS)]
    distances: list[OutputDistance] = []
    for batch in batches:
        visible = VisibleRows(original, batch)
        outputs = infer(original, batch)
        made = keras.tree.flatten(outputs) if counted is None else counted(outputs)
        expected = [_visible(visible, y, y) for y in made]
        outputs = infer(small, batch)
        remade = keras.tree.flatten(outputs) if counted is None else counted(outputs)
        received = [_visible(visible, y, z) for y, z in zip(made, remade, strict=True)]
        names = output_names(original, len(made)) if counted is None else counted.names(outputs)
        distances = distances or [OutputDistance(name) for name in names]
        for name, distance, want, got in zip(names, distances, expected, received, strict=True):
            if (bad := rows_not_finite(got)) is not None:
                raise ValueError(
                    f"Expected output {name!r} of the compressed model {small.name!r} to be finite "
                    f"where the original's is: give a larger budget. Received: {bad} of a batch"
                )
            distance.add(want, got)
    results = tuple(distance.as_dict() for distance in distances)
    return Agreement(sum(map(rows_in, batches)), results, counted is not None)


def _visible(rows: VisibleRows, known: Any, outputs: Any) -> np.ndarray:
    array = np.asarray(ops.convert_to_numpy(outputs))
    visible = rows.of(known, math.prod(array.shape[:-1]))
    return array if visible is None else array.reshape(-1, array.shape[-1])[visible]
