"""How far ranks may grow: up to a size, and never to more than a dense matrix takes."""

from collections.abc import Collection, Sequence

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.layer_budget import parameters_of
from dart_keras.selection.rank_allocation import RankCost, takes_more_than_dense
from dart_keras.tensor_train.ranks import complete_ranks, rank_limits


def grown_ranks(
    layer: TTLayer,
    factor: float,
    bonds: Collection[int] | None = None,
    compared: RankCost = parameters_of,
) -> tuple[int, ...]:
    """Return the ranks of a layer after growth by a factor, or by as much as still makes sense.

    Args:
        layer: A built layer.
        factor: At least 1.
        bonds: The bonds that grow, from 1; `None` for all.
        compared: What the layer may not take more of than a dense one, besides parameters.

    Returns:
        All d + 1 ranks, none below the present one. With them the layer takes no more than a dense
        one, unless it does so already.

    Example:
        >>> from dart_keras.layers import TTDense
        >>> layer = TTDense(16, ranks=4)
        >>> layer.build((None, 16))
        >>> grown_ranks(layer, 1.5), grown_ranks(layer, 100)
        ((1, 6, 1), (1, 8, 1))
    """
    limits = rank_limits(layer.input_modes, layer.output_modes)

    def at(factor: float) -> tuple[int, ...]:
        ranks = [
            max(rank, min(int(rank * factor + 1e-9), limit))
            if bonds is None or bond in bonds
            else rank
            for bond, (rank, limit) in enumerate(zip(layer.ranks, limits, strict=True))
        ]
        complete = complete_ranks(ranks, layer.input_modes, layer.output_modes)
        return tuple(max(new, old) for new, old in zip(complete, layer.ranks, strict=True))

    if not takes_more_than_dense(layer, at(factor), compared):
        return at(factor)
    # Between no growth and too much; a rank of 1,000 or so needs no finer steps than these.
    low, high = 1.0, factor
    for _ in range(20):
        middle = (low + high) / 2
        is_too_large = takes_more_than_dense(layer, at(middle), compared)
        low, high = (low, middle) if is_too_large else (middle, high)
    return at(low)


def filling_ranks(
    layers: Sequence[TTLayer],
    cost: RankCost,
    limit: float,
    compared: RankCost = parameters_of,
) -> list[tuple[int, ...]]:
    """Return the present ranks times the largest factor with which the layers keep to a limit.

    Args:
        layers: Built layers.
        cost: What a layer takes at some ranks.
        limit: The most that the layers may take together.
        compared: As for `grown_ranks`.

    Returns:
        For each layer all d + 1 ranks, none below the present one.
    """

    def at(factor: float) -> list[tuple[int, ...]]:
        return [grown_ranks(layer, factor, None, compared) for layer in layers]

    def fits(ranks: Sequence[tuple[int, ...]]) -> bool:
        return sum(map(cost, layers, ranks)) <= limit

    low, high = 1.0, 2.0
    while fits(at(high)) and at(high) != at(low):
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(at(middle)) else (low, middle)
    return at(low)
