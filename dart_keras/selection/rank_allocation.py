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
    ranks = [[1] * len(layer.ranks) for layer in layers]
    _fill(layers, gains, cost, limit, ranks)
    bonds = [(i, bond) for i, own in enumerate(gains) for bond in range(1, len(own) + 1)]
    # Until no exchange helps; each gains more, so that this ends.
    while any(_exchange(layers, gains, cost, limit, ranks, i, bond) for i, bond in bonds):
        _fill(layers, gains, cost, limit, ranks)
    return completed(layers, ranks)


def _fill(
    layers: Sequence[TTLayer],
    gains: Sequence[Sequence[np.ndarray]],
    cost: RankCost,
    limit: float,
    ranks: list[list[int]],
) -> None:
    for i, bond in list(rank_steps(layers, gains, cost, limit, ranks)):
        ranks[i][bond] += 1


def _exchange(
    layers: Sequence[TTLayer],
    gains: Sequence[Sequence[np.ndarray]],
    cost: RankCost,
    limit: float,
    ranks: list[list[int]],
    i: int,
    bond: int,
) -> bool:
    """Raise a bond by a rank and lower others until all fit, if that gains more than it loses."""
    own = gains[i][bond - 1]
    changed = [list(each) for each in ranks]
    changed[i][bond] += 1
    if changed[i][bond] > len(own) or takes_more_than_dense(layers[i], changed[i], cost):
        return False
    better = float(own[changed[i][bond] - 1])
    taken = sum(map(cost, layers, changed))
    while taken > limit and better > 0:
        # The cheapest for what it frees: the loss for the price, the loss, the price, the place.
        cheapest: tuple[float, float, float, int, int] | None = None
        for j, others in enumerate(gains):
            for other, gain in enumerate(others, start=1):
                rank = changed[j][other]
                if rank <= 1 or (j, other) == (i, bond):
                    continue
                less = [*changed[j][:other], rank - 1, *changed[j][other + 1 :]]
                freed = cost(layers[j], changed[j]) - cost(layers[j], less)
                lost = float(gain[rank - 1])
                offer = (lost / max(1, freed), lost, freed, j, other)
                cheapest = offer if cheapest is None else min(cheapest, offer)
        if cheapest is None:
            return False
        _, lost, freed, j, other = cheapest
        changed[j][other] -= 1
        better -= lost
        taken -= freed
    # Not for rounding errors, which could go on for ever.
    if better <= _LEAST_BETTER * float(own.sum()):
        return False
    ranks[:] = changed
    return True


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
