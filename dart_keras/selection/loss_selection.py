import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import read_state_back
from dart_keras.selection.importance import rank_gains
from dart_keras.selection.layer_budget import parameters_of
from dart_keras.selection.rank_allocation import allocate_ranks, cost_at_rank_one
from dart_keras.selection.selection import BudgetSelection

# Two sizes are the same, when the smaller one takes this share of the larger one.
_CLOSE = 0.95
# Ranks hardly matter that raise the loss by less than this share of what it may rise.
_HARDLY = 0.1


class LossSelection(BudgetSelection):
    """The fewest parameters with which the validation loss keeps to a limit.

    Ranks are allocated under a limit of parameters, as for `dart_keras.budgets.Parameters`, and the
    validation loss is measured with them. The limit of parameters is found by bisection.

    Args:
        budget: How much the loss may rise, a `dart_keras.budgets.LossIncrease`.

    Attributes:
        measure: Returns the validation loss of the present weights. `RankDiscretization` sets it.
        limit: The largest loss. `RankDiscretization` sets it.
    """

    measure: Callable[[], float] | None = None
    limit: float | None = None

    def select(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> list[tuple[int, ...]]:
        """Return all d + 1 ranks of each layer. If all ranks are needed, these.

        Raises:
            ValueError: If nothing measures a validation loss.
        """
        if self.measure is None or self.limit is None:
            raise ValueError(
                "Expected a validation loss to keep to. Received: no `RankDiscretization` in a "
                f"`fit` with validation data for {self.budget}"
            )
        return self._fewest(model, layers, calibration_data, self.measure, self.limit)

    def in_use(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> list[tuple[int, ...]]:
        """Return the ranks without the ones that hardly matter now, all d + 1 of each layer.

        The limit of `select` lies far above the loss of a model that has learned little.

        Raises:
            ValueError: As from `select`.
        """
        if self.measure is None:
            return self.select(model, layers, calibration_data)
        present = self.measure()
        rise = _HARDLY * (self.budget.limit_for(present) - present)
        return self._fewest(model, layers, calibration_data, self.measure, present + rise)

    def _fewest(
        self,
        model: keras.Model,
        layers: Sequence[TTLayer],
        calibration_data: Any,
        measure: Callable[[], float],
        limit: float,
    ) -> list[tuple[int, ...]]:
        read_state_back(model)
        gains = rank_gains(model, layers, calibration_data)

        def find(parameters: float) -> list[tuple[int, ...]]:
            return allocate_ranks(layers, gains, parameters_of, parameters)

        def keeps_to_limit(ranks: list[tuple[int, ...]]) -> bool:
            with rounded(layers, ranks):
                # Not a number is no loss to keep to.
                return measure() <= limit

        best = [tuple(layer.ranks) for layer in layers]
        low, high = float(cost_at_rank_one(layers, parameters_of)), _size(layers, best)
        if keeps_to_limit(least := find(low)):
            return least
        tried = [least]
        while low < _CLOSE * high:
            guess = math.sqrt(low * high)
            found = find(guess)
            fits = found not in tried and keeps_to_limit(found)
            tried.append(found)
            if fits:
                best, high = found, _size(layers, found)
            else:
                low = guess
        return best


@contextmanager
def rounded(layers: Sequence[TTLayer], ranks: Sequence[tuple[int, ...]]) -> Iterator[None]:
    """Let layers have the matrices of truncated ones within a block, in cores of the same shapes.

    So nothing that was compiled for them has to be made again.

    Args:
        layers: Built layers.
        ranks: For each of them all d + 1 ranks.
    """
    before = [[ops.convert_to_numpy(core) for core in layer.cores] for layer in layers]
    try:
        for layer, layer_ranks in zip(layers, ranks, strict=True):
            smaller, _ = layer.to_tt().round(layer_ranks)
            for core, values in zip(layer.cores, smaller.cores, strict=True):
                missing = [
                    (0, new - old) for new, old in zip(core.shape, values.shape, strict=True)
                ]
                core.assign(np.pad(values, missing))
        yield
    finally:
        for layer, arrays in zip(layers, before, strict=True):
            for core, values in zip(layer.cores, arrays, strict=True):
                core.assign(values)


def _size(layers: Sequence[TTLayer], ranks: Sequence[tuple[int, ...]]) -> int:
    return sum(map(parameters_of, layers, ranks))
