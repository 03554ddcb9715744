"""Allocating a budget of parameters or multiply-adds among the bonds of several layers."""

from collections.abc import Callable, Sequence

import numpy as np

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.tensor_train.ranks import complete_ranks

# What a layer's TT matrix takes at some ranks.
RankCost = Callable[[TTLayer, Sequence[int]], int]


def cost_at_rank_one(layers: Sequence[TTLayer], cost: RankCost) -> int:
    """Return what the layers take together with rank 1 at every bond."""
    return sum(cost(layer, [1] * len(layer.ranks)) for layer in layers)


def allocate_ranks(
    layers: Sequence[TTLayer],
    gains: Sequence[Sequence[np.ndarray]],
    cost: RankCost,
    limit: float,
) -> list[tuple[int, ...]]:
    """Return ranks that together keep to a limit, where they gain most.

    A greedy algorithm: from rank 1 everywhere, again and again the bond gets one more rank whose
    gain is largest for what it costs, until nothing more fits.

    Args:
        layers: Built layers.
        gains: For each layer and each of its d - 1 bonds an array of what each rank gains.
        cost: What a layer takes at some ranks.
        limit: The most that the layers may take together, not below `cost_at_rank_one`.

    Returns:
        For each layer all d + 1 ranks.
    """
    ranks = [[1] * len(layer.ranks) for layer in layers]
    left = limit - cost_at_rank_one(layers, cost)

    def prices_of(i: int) -> list[int]:
        present = cost(layers[i], ranks[i])
        return [
            cost(layers[i], [*ranks[i][:bond], ranks[i][bond] + 1, *ranks[i][bond + 1 :]]) - present
            for bond in range(1, len(ranks[i]) - 1)
        ]

    prices = [prices_of(i) for i in range(len(layers))]
    while True:
        best: tuple[float, int, int] | None = None
        for i, layer_gains in enumerate(gains):
            for bond, gain in enumerate(layer_gains, start=1):
                rank = ranks[i][bond]
                if rank >= len(gain) or gain[rank] <= 0:
                    continue
                price = prices[i][bond - 1]
                if price <= left and (best is None or gain[rank] / price > best[0]):
                    best = (gain[rank] / price, i, bond)
        if best is None:
            break
        _, i, bond = best
        left -= prices[i][bond - 1]
        ranks[i][bond] += 1
        prices[i] = prices_of(i)
    return [
        complete_ranks(layer_ranks, layer.input_modes, layer.output_modes)
        for layer_ranks, layer in zip(ranks, layers, strict=True)
    ]
