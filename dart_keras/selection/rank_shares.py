"""Ranks for budgets among those that nested training draws: one share of the ranks of all bonds."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import keras

from dart_keras.budgets import Budget
from dart_keras.deployment.file_sizes import file_sizes
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.file_budget import FileBudget
from dart_keras.selection.layer_budget import LayerBudget
from dart_keras.selection.smaller_copies import LayerRanks, first_slices, sliced_copy
from dart_keras.selection.threshold import ErrorTolerance
from dart_keras.tensor_train.tt_matrix import TTMatrix


def rank_shares(ranks: LayerRanks) -> list[LayerRanks]:
    """Return what is left of ranks at every share of them, from the least to all.

    What is left is what `NestedGates` keep when they draw the share.

    Args:
        ranks: For each layer all d + 1 ranks.

    Returns:
        For each share, for each layer all d + 1 ranks.

    Example:
        >>> for left in rank_shares([(1, 4, 1), (1, 2, 1)]):
        ...     print(left)
        [(1, 1, 1), (1, 1, 1)]
        [(1, 2, 1), (1, 1, 1)]
        [(1, 3, 1), (1, 2, 1)]
        [(1, 4, 1), (1, 2, 1)]
    """
    highest = {rank for layer_ranks in ranks for rank in layer_ranks}
    shares = sorted({Fraction(i, rank) for rank in highest for i in range(rank)})
    return [
        [tuple(int(share * rank) + 1 for rank in layer_ranks) for layer_ranks in ranks]
        for share in shares
    ]


def ranks_at(
    model: keras.Model, layers: Sequence[TTLayer], budget: Budget, calibration_data: Any = None
) -> LayerRanks:
    """Return the largest share of the ranks of all layers with which they keep to a budget.

    For a relative error, each layer has the smallest share of its own that is within.

    Args:
        model: The model that the layers are of. It is left as it is.
        layers: Built layers, trained with `NestedGates`.
        budget: A budget of `dart_keras.budgets`.
        calibration_data: As for `RankDiscretization`.

    Returns:
        For each layer all d + 1 ranks.

    Raises:
        ValueError: If it is no such budget, or out of reach.
    """
    selection: Any = selection_for(budget) if isinstance(budget, Budget) else None
    if isinstance(selection, ErrorTolerance):
        return [_within_error(layer, selection.budget.tolerance) for layer in layers]
    if not isinstance(selection, LayerBudget | FileBudget):
        raise ValueError(
            "Expected a budget of `dart_keras.budgets` that is a size, such as `Parameters`. "
            f"Received: {budget!r}"
        )
    # Tells of a budget that is out of reach.
    selection.begin(model, layers, calibration_data)

    def size(ranks: LayerRanks) -> float:
        if isinstance(selection, LayerBudget):
            return selection.size(layers, ranks)
        copy = sliced_copy(model, layers, ranks)
        return file_sizes(copy, selection.budget, calibration_data).limited_by(selection.budget)

    candidates = rank_shares([layer.ranks for layer in layers])
    too_large = bisect_left(candidates, True, key=lambda ranks: size(ranks) > selection.budget.n)
    if too_large == 0:
        least = math.ceil(size(candidates[0]))
        raise ValueError(
            f"Expected a budget of at least {least:_}, which the first rank slice of every bond "
            f"takes. Received: {budget}"
        )
    return candidates[too_large - 1]


def _within_error(layer: TTLayer, tolerance: float) -> tuple[int, ...]:
    whole = layer.to_tt()
    norm = whole.norm()

    def is_within(candidate: LayerRanks) -> bool:
        [ranks] = candidate
        return (whole - TTMatrix(tuple(first_slices(layer, ranks)))).norm() <= tolerance * norm

    candidates = rank_shares([layer.ranks])
    return candidates[bisect_left(candidates, True, key=is_within)][0]
