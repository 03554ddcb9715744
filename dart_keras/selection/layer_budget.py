import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from dart_keras.budgets import Microseconds, MultiplyAdds, Parameters
from dart_keras.calibration_data import labelled_batches
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.model_surgery.layer_names import distinct_names
from dart_keras.selection.importance import rank_gains
from dart_keras.selection.rank_allocation import RankCost, allocate_ranks, cost_at_rank_one
from dart_keras.selection.selection import BudgetSelection
from dart_keras.tensor_train.ranks import count_parameters
from dart_keras.utils.listing import largest_first


class LayerBudget(BudgetSelection):
    """Ranks with which all layers together keep to a budget, where that loses least.

    Without calibration data the ranks of a bond count by the layer's squared norm, with pairs of
    inputs and targets also by what the model's loss would change without them. What is removed is
    least against what is kept, in the sum over all bonds.

    Args:
        budget: The most that all layers may take together.
        cost: What one layer takes of it at some ranks.

    Attributes:
        cost: The same.
    """

    def __init__(self, budget: Parameters | MultiplyAdds | Microseconds, cost: RankCost) -> None:
        super().__init__(budget)
        self.cost = cost

    def size(self, layers: Sequence[TTLayer], ranks: Sequence[Sequence[int]]) -> float:
        """Return what layers take of the budget together.

        Args:
            layers: Built layers.
            ranks: For each of them all d + 1 ranks.
        """
        return sum((self.cost(layer, own) for layer, own in zip(layers, ranks, strict=True)), 0.0)

    def begin(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> None:
        """Check the calibration data, and that rank 1 at every bond keeps to the budget.

        The layers of a model that is not built yet have no cores to count. `select` checks these.

        Raises:
            ValueError: If the first batch is no pair of inputs and targets, or the budget is out of
                reach, with what rank 1 takes.
        """
        if calibration_data is not None:
            # Not only at the truncation, after many epochs.
            next(labelled_batches(calibration_data), None)
        if not all(layer.built for layer in layers):
            return
        least = math.ceil(cost_at_rank_one(layers, self.cost))
        if least > self.budget.n:
            names = distinct_names(model, layers)
            of_layers = {
                name: cost_at_rank_one([layer], self.cost)
                for name, layer in zip(names, layers, strict=True)
            }
            smallest = replace(self.budget, n=least)
            raise ValueError(
                f"Expected a budget of at least {smallest}, which rank 1 takes at every bond: "
                f"{largest_first(of_layers)}. Received: {self.budget}"
            )

    def select(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> list[tuple[int, ...]]:
        """Return all d + 1 ranks of each layer.

        Raises:
            ValueError: If rank 1 at every bond takes too much already, or calibration data are not
                pairs of inputs and targets.
        """
        self.begin(model, layers)
        return self._allocate(layers, rank_gains(model, layers, calibration_data))

    def _allocate(
        self, layers: Sequence[TTLayer], gains: Sequence[Sequence[np.ndarray]]
    ) -> list[tuple[int, ...]]:
        return allocate_ranks(layers, gains, self.cost, self.budget.n)


def parameters_of(layer: TTLayer, ranks: Sequence[int]) -> int:
    """Return how many parameters a layer's cores have at some ranks."""
    return count_parameters(layer.input_modes, layer.output_modes, ranks)


def multiply_adds_of(layer: TTLayer, ranks: Sequence[int]) -> int:
    """Return how many multiply-adds a layer takes at some ranks for one row of its inputs."""
    return layer.multiply_adds(ranks)
