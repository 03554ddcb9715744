"""The batches of a distillation, each with what the original makes of it."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration.counted_outputs import CountedOutputs
from dart_keras.compression.calibration.partial_runs import Outputs
from dart_keras.compression.calibration.sequence_padding import VisibleRows


class TrainingBatches(keras.utils.PyDataset):
    """Batches of inputs, targets and weights, in a new order in each epoch.

    Args:
        batches: Inputs, as tensors.
        outputs: What the original makes of each.
        counted: Which of these are the targets.
        visible: Which of their rows are not padding, which has a weight of 0.
    """

    def __init__(
        self,
        batches: Sequence[Any],
        outputs: Outputs,
        counted: CountedOutputs,
        visible: Sequence[VisibleRows],
    ) -> None:
        super().__init__()
        self._batches = batches
        self._outputs = outputs
        self._counted = counted
        self._visible = visible
        self._rng = np.random.default_rng(0)
        sizes = [sum(math.prod(x.shape) for x in keras.tree.flatten(batch)) for batch in batches]
        self._ends = [int(np.argmin(sizes)), int(np.argmax(sizes))]
        self._order = self._of_all_lengths(np.arange(len(batches)))

    def some(self, count: int) -> "TrainingBatches":
        """Return about so many of the batches, evenly spaced."""
        chosen = TrainingBatches(self._batches, self._outputs, self._counted, self._visible)
        places = np.linspace(0, len(self._batches) - 1, min(count, len(self))).astype(int)
        chosen._order = self._of_all_lengths(places)
        return chosen

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._order)

    def __getitem__(self, index: int) -> tuple[tuple[Any, ...], ...]:
        """Return inputs, targets, and a weight for each row of these, each in a flat tuple."""
        place = int(self._order[index])
        inputs = [_array(x) for x in keras.tree.flatten(self._batches[place])]
        targets = [_array(y) for y in self._counted(self._outputs(place))]
        weights = [_weights(y, self._visible[place]) for y in targets]
        # TensorFlow's data sets take no lists.
        return tuple(inputs), tuple(targets), tuple(weights)

    def on_epoch_end(self) -> None:
        """Put the batches in another order."""
        self._order = self._rng.permutation(self._order)

    def _of_all_lengths(self, places: np.ndarray) -> np.ndarray:
        """Put the shortest and the longest batch first: Keras takes these for what all may be."""
        return np.array([*dict.fromkeys([*self._ends, *places])])


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def _weights(targets: np.ndarray, visible: VisibleRows) -> np.ndarray:
    """Return 0 for padding and a number for data, with a mean of 1."""
    axes = targets.shape[:-1] or targets.shape
    shown = visible.of(targets, int(np.prod(axes)))
    if shown is None:
        return np.ones(axes, "float32")
    return (shown / max(shown.mean(), 1 / shown.size)).reshape(axes).astype("float32")
