from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from dart_keras.budgets import Microseconds
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.layer_budget import LayerBudget, multiply_adds_of
from dart_keras.selection.rank_allocation import allocate_ranks, completed, rank_steps


class TimeBudget(LayerBudget):
    """Ranks with which all layers together keep to an estimated time on a device.

    An order of contraction is planned for each estimate, which takes too long to be done for every
    single rank. So ranks rise as for a budget of multiply-adds, each layer's taking the time that
    they take on average in this layer, and the time is estimated a few times, to find out how far.

    Args:
        budget: The most microseconds that all layers may take together.
    """

    def __init__(self, budget: Microseconds) -> None:
        super().__init__(budget, lambda layer, ranks: layer.microseconds(ranks, budget.target))

    def _allocate(
        self, layers: Sequence[TTLayer], gains: Sequence[Sequence[np.ndarray]]
    ) -> list[tuple[int, ...]]:
        most = allocate_ranks(layers, gains, multiply_adds_of, float("inf"))
        rates = [self._rate(layer, ranks) for layer, ranks in zip(layers, most, strict=True)]
        gains = [
            [gain / rate for gain in layer_gains]
            for layer_gains, rate in zip(gains, rates, strict=True)
        ]
        steps = list(rank_steps(layers, gains, multiply_adds_of, float("inf")))

        def after(count: int) -> list[list[int]]:
            ranks = [[1] * len(layer.ranks) for layer in layers]
            for i, bond in steps[:count]:
                ranks[i][bond] += 1
            return ranks

        def time(ranks: Sequence[Sequence[int]]) -> float:
            return self.size(layers, completed(layers, ranks))

        counts = range(len(steps) + 1)
        fitting = bisect_right(counts, self.budget.n, key=lambda count: time(after(count))) - 1
        ranks = after(fitting)
        # The next step is too long. Those of other bonds may fit into what is left.
        too_long: set[tuple[int, int]] = set()
        for i, bond in steps[fitting:]:
            if (i, bond) not in too_long:
                ranks[i][bond] += 1
                if time(ranks) > self.budget.n:
                    ranks[i][bond] -= 1
                    too_long.add((i, bond))
        return completed(layers, ranks)

    def _rate(self, layer: TTLayer, ranks: Sequence[int]) -> float:
        """Return the microseconds of a multiply-add, on average from rank 1 up to some ranks."""
        one = [1] * len(ranks)
        count = multiply_adds_of(layer, ranks) - multiply_adds_of(layer, one)
        longer = self.cost(layer, ranks) - self.cost(layer, one)
        return longer / count if count > 0 and longer > 0 else 1.0
