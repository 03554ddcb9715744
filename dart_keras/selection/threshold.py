"""Selections that look at each layer by itself."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.selection import BudgetSelection, Selection
from dart_keras.tensor_train.rounding import ranks_within
from dart_keras.utils.argument_checks import check_share


class Threshold(Selection):
    """The singular values above a share of the bond's largest one.

    Args:
        delta: The share, between 0 and 1.

    Raises:
        ValueError: If `delta` is not between 0 and 1.

    Example:
        >>> from dart_keras.layers import TTDense
        >>> model = keras.Sequential([keras.Input((16,)), TTDense(16, ranks=8)])
        >>> [ranks] = Threshold(0.99).select(model, model.layers)
        >>> ranks
        (1, 1, 1)
    """

    def __init__(self, delta: float) -> None:
        self.delta = check_share("delta", delta)

    def select(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> list[tuple[int, ...]]:
        """Return all d + 1 ranks of each layer."""
        return [
            (1, *(_count(values, self.delta) for values in layer.bond_singular_values()), 1)
            for layer in layers
        ]


class ErrorTolerance(BudgetSelection):
    """The smallest ranks within a relative Frobenius error of each layer's matrix.

    Args:
        budget: The largest error, a `dart_keras.budgets.RelativeError`.
    """

    def select(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> list[tuple[int, ...]]:
        """Return all d + 1 ranks of each layer."""
        return [
            (1, *ranks_within(layer.bond_singular_values(), self.budget.tolerance), 1)
            for layer in layers
        ]


def _count(values: np.ndarray, delta: float) -> int:
    # 0 where nothing is left of the matrix, which the caller refuses to cut to.
    return 0 if values[0] == 0 else int(np.sum(values > delta * values[0]))
