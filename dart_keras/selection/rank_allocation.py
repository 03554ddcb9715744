"""Allocating a budget of parameters or multiply-adds among the bonds of several layers."""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dart_keras.layers.dense_comparison import is_larger_than_dense
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.tensor_train.ranks import complete_ranks

# What an exchange of ranks has to gain, as a share of all that a bond gains.
_LEAST_BETTER = 1e-9

# What a layer's TT matrix takes at some ranks.
RankCost = Callable[[TTLayer, Sequence[int]], float]


def cost_at_rank_one(layers: Sequence[TTLayer], cost: RankCost) -> float:
    """Return what the layers take together with rank 1 at every bond."""
    return sum(cost(layer, [1] * len(layer.ranks)) for layer in layers)


def takes_more_than_dense(layer: TTLayer, ranks: Sequence[int], cost: RankCost) -> bool:
    """Return whether a layer takes more parameters than a dense one, or more of what costs.

    Args:
        layer: A built layer.
        ranks: All d + 1 ranks, which need not be the present ones.
        cost: What it takes of parameters or multiply-adds.
    """
    # A dense product takes a multiply-add for each element of the matrix.
    more = cost(layer, ranks) > math.prod(layer.matrix_shape)
    return more or is_larger_than_dense(layer, ranks)


def allocate_ranks(
    layers: Sequence[TTLayer],
    gains: Sequence[Sequence[np.ndarray]],
    cost: RankCost,
    limit: float,
) -> list[tuple[int, ...]]:
    """Return ranks that together keep to a limit, where they gain most.

    The ranks of `rank_steps`, after which single ranks of a bond are exchanged for those of others
    as long as that gains more: steps may be large next to the limit.

    Args:
        layers: Built layers.
        gains: For each layer and each of its d - 1 bonds an array of what each rank gains.
        cost: What a layer takes at some ranks: parameters or multiply-adds.
        limit: The most that the layers may take together, not below `cost_at_rank_one`.

    Returns:
        For each layer all d + 1 ranks.
    """
    found = _Allocation(layers, gains, cost, limit)
    found.fill()
    while any(found.exchange(i, bond) for i, own in enumerate(gains) for bond in _bonds(own)):
        found.fill()
    return completed(layers, found.ranks)


class _Allocation:
    """Ranks on the way to those that gain most, from rank 1 everywhere.

    Args:
        layers: As for `allocate_ranks`, like all of them.
        gains: As there.
        cost: As there.
        limit: As there.

    Attributes:
        ranks: For each layer all d + 1 ranks.
    """

    def __init__(
        self,
        layers: Sequence[TTLayer],
        gains: Sequence[Sequence[np.ndarray]],
        cost: RankCost,
        limit: float,
    ) -> None:
        self._layers, self._gains, self._cost, self._limit = layers, gains, cost, limit
        self.ranks = [[1] * len(layer.ranks) for layer in layers]

    def fill(self) -> None:
        """Add ranks as long as any fits."""
        steps = rank_steps(self._layers, self._gains, self._cost, self._limit, self.ranks)
        for i, bond in list(steps):
            self.ranks[i][bond] += 1

    def exchange(self, i: int, bond: int) -> bool:
        """Raise a bond by a rank and lower others until all fit, if that gains more than it loses.

        Each exchange gains something, so that they come to an end.

        Args:
            i: Place of the layer.
            bond: The bond, from 1.

        Returns:
            Whether the ranks have changed.
        """
        own = self._gains[i][bond - 1]
        changed = [list(each) for each in self.ranks]
        changed[i][bond] += 1
        too_many = changed[i][bond] > len(own)
        if too_many or takes_more_than_dense(self._layers[i], changed[i], self._cost):
            return False
        better = float(own[changed[i][bond] - 1])
        taken = sum(map(self._cost, self._layers, changed))
        while taken > self._limit and better > 0:
            offers = [
                self._lowered(changed, j, other)
                for j, others in enumerate(self._gains)
                for other in _bonds(others)
                if changed[j][other] > 1 and (j, other) != (i, bond)
            ]
            if not offers:
                return False
            _, lost, freed, j, other = min(offers)
            changed[j][other] -= 1
            better -= lost
            taken -= freed
        # Rounding errors are no gain; they could go on for ever. Neither is NaN.
        if taken > self._limit or not better > _LEAST_BETTER * float(own.sum()):
            return False
        self.ranks = changed
        return True

    def _lowered(
        self, ranks: list[list[int]], i: int, bond: int
    ) -> tuple[float, float, float, int, int]:
        # The loss of a rank for what it frees, to compare; then both of them, and the place.
        less = [*ranks[i][:bond], ranks[i][bond] - 1, *ranks[i][bond + 1 :]]
        freed = self._cost(self._layers[i], ranks[i]) - self._cost(self._layers[i], less)
        lost = float(self._gains[i][bond - 1][ranks[i][bond] - 1])
        return lost / max(1, freed), lost, freed, i, bond


def _bonds(gains: Sequence[np.ndarray]) -> range:
    return range(1, len(gains) + 1)


def completed(layers: Sequence[TTLayer], ranks: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Return ranks of layers clipped to what those of the neighbouring bonds allow."""
    return [
        complete_ranks(layer_ranks, layer.input_modes, layer.output_modes)
        for layer_ranks, layer in zip(ranks, layers, strict=True)
    ]


def rank_steps(
    layers: Sequence[TTLayer],
    gains: Sequence[Sequence[np.ndarray]],
    cost: RankCost,
    limit: float,
    start: Sequence[Sequence[int]] | None = None,
) -> Iterator[tuple[int, int]]:
    """Yield the bonds that get one more rank each, one after the other.

    A greedy algorithm: the next rank is the one that gains most for what it costs, until nothing
    more fits. A layer gets none with which it would have more parameters than the dense matrix, or
    take more multiply-adds than the dense product.

    Args:
        layers: As for `allocate_ranks`.
        gains: As for `allocate_ranks`.
        cost: As for `allocate_ranks`.
        limit: As for `allocate_ranks`.
        start: The ranks to begin with; `None` for rank 1 at every bond.

    Yields:
        Pairs of a layer's place and a bond of it, from 1.
    """
    ranks = [list(own) for own in start or [[1] * len(layer.ranks) for layer in layers]]
    taken = [cost(layer, each) for layer, each in zip(layers, ranks, strict=True)]
    left = limit - sum(taken)
    # What could be next: the negative gain for the price, the layer and the bond; then what the
    # layer takes with it, and the sum of the ranks for which all of this holds.
    offers: list[tuple[float, int, int, float, int]] = []

    def offer(i: int) -> None:
        for bond, gain in enumerate(gains[i], start=1):
            rank = ranks[i][bond]
            if rank >= len(gain) or gain[rank] <= 0:
                continue
            more = [*ranks[i][:bond], rank + 1, *ranks[i][bond + 1 :]]
            if takes_more_than_dense(layers[i], more, cost):
                continue
            taking = cost(layers[i], more)
            negative = -float(gain[rank]) / max(1, taking - taken[i])
            heapq.heappush(offers, (negative, i, bond, taking, sum(ranks[i])))

    for i in range(len(layers)):
        offer(i)
    while offers:
        _, i, bond, taking, total = heapq.heappop(offers)
        # What does not fit now will not fit later. Another rank of the layer has changed its
        # prices, and all its bonds have been offered anew.
        if total != sum(ranks[i]) or taking - taken[i] > left:
            continue
        left -= taking - taken[i]
        taken[i] = taking
        ranks[i][bond] += 1
        yield i, bond
        offer(i)
