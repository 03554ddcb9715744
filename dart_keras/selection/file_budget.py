import math
from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.calibration_data import has_targets
from dart_keras.deployment.file_sizes import check_file_budget, file_sizes
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.model_surgery.replace import layers_with_paths
from dart_keras.private_apis import own_weights
from dart_keras.selection.importance import rank_gains
from dart_keras.selection.layer_budget import parameters_of
from dart_keras.selection.rank_allocation import allocate_ranks
from dart_keras.selection.selection import BudgetSelection
from dart_keras.selection.smaller_copies import LayerRanks, truncated_copy
from dart_keras.utils.listing import largest_first
from dart_keras.utils.random_state import keeping_random_state
from dart_keras.utils.size_search import Measured, largest_within


class FileBudget(BudgetSelection):
    """Ranks with which the model's `.tflite` file keeps to a budget.

    Ranks are allocated under a limit of parameters, as for `dart_keras.budgets.Parameters`; by the
    model's loss where the calibration data are pairs of inputs and targets. The limit is found by
    making and measuring files of truncated copies of the model. The model itself is left as it is.
    The file is that of the weights at the time: as training goes on, other scales may be chosen for
    them, which can take a few bytes more.

    Args:
        budget: The most bytes of the file, or of its arena: `FlashBytes` or `ArenaBytes`.
    """

    def begin(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> None:
        """Check that the file with rank 1 at every bond keeps to the budget.

        Raises:
            ValueError: If it does not, with its size, or if the target does not run the
                quantization, or this needs calibration data and there are none.
            ConversionError: If the model cannot be converted.
        """
        check_file_budget(model, self.budget, calibration_data)
        # A model that is not built yet has no file; `select` finds the smallest one then.
        if layers and all(layer.built for layer in layers):
            self._smallest(model, layers, calibration_data)

    def select(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> LayerRanks:
        """Return all d + 1 ranks of each layer.

        Raises:
            ValueError: As from `begin`.
            ConversionError: If the model cannot be converted.
        """
        inputs = len(keras.tree.flatten(getattr(model, "inputs", None) or [None]))
        by_loss = calibration_data is not None and has_targets(calibration_data, inputs)
        gains = rank_gains(model, layers, calibration_data if by_loss else None)

        def find(parameters: float) -> LayerRanks:
            return allocate_ranks(layers, gains, parameters_of, parameters)

        def measure(ranks: LayerRanks) -> tuple[int, int]:
            return _parameters(layers, ranks), self._size(model, layers, ranks, calibration_data)

        largest = find(float("inf"))
        too_large = Measured(largest, *measure(largest))
        if too_large.size <= self.budget.n:
            return largest
        fitting = self._smallest(model, layers, calibration_data)
        return largest_within(self.budget.n, fitting, too_large, find, measure)

    def in_use(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> LayerRanks:
        """Return the present ranks if the file keeps to the budget, else rank 1: by one file."""
        present: LayerRanks = [tuple(layer.ranks) for layer in layers]
        if self._size(model, layers, present, calibration_data) <= self.budget.n:
            return present
        return [(1,) * len(layer.ranks) for layer in layers]

    def _smallest(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any
    ) -> Measured[LayerRanks]:
        ranks: LayerRanks = [(1,) * len(layer.ranks) for layer in layers]
        size = self._size(model, layers, ranks, calibration_data)
        if size > self.budget.n:
            cut = set(map(id, layers))
            others = {
                path: sum(math.prod(weight.shape) for weight in own_weights(layer))
                for path, layer in layers_with_paths(model)
                if id(layer) not in cut
            }
            found = largest_first(others)
            listed = found and f". Layers that are not truncated have parameters: {found}"
            raise ValueError(
                f"Expected a budget of at least {size:_} bytes, which the model takes with rank 1 "
                f"at every bond{listed}. Received: {self.budget}"
            )
        return Measured(ranks, _parameters(layers, ranks), size)

    def _size(
        self, model: keras.Model, layers: Sequence[TTLayer], ranks: LayerRanks, data: Any
    ) -> int:
        with keeping_random_state():
            copy = truncated_copy(model, layers, ranks)
            return file_sizes(copy, self.budget, data).limited_by(self.budget)


def _parameters(layers: Sequence[TTLayer], ranks: LayerRanks) -> int:
    return sum(map(parameters_of, layers, ranks))
