from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.budgets import Budget
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.utils.representation import call_repr


class Selection(ABC):
    """Base of the selections. To write your own, override `select`.

    Example:
        >>> class Uniform(Selection):
        ...     def select(self, model, layers, calibration_data=None):
        ...         return [(1, *[2] * (len(layer.cores) - 1), 1) for layer in layers]
        >>> from dart_keras.layers import TTDense
        >>> model = keras.Sequential([keras.Input((16,)), TTDense(16, ranks=4)])
        >>> Uniform().select(model, model.layers)
        [(1, 2, 1)]
    """

    def __repr__(self) -> str:
        # What a selection was given is kept in attributes of the same names.
        given = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return call_repr(self, **given)

    @abstractmethod
    def select(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> list[tuple[int, ...]]:
        """Return the ranks to keep. Nothing of the model may change.

        Args:
            model: The model in training.
            layers: Its layers that are to be truncated, all of them built.
            calibration_data: What `RankDiscretization` was given; `None` without.

        Returns:
            For each layer all d + 1 ranks.
        """

    def effective_ranks(self, layers: Sequence[TTLayer]) -> np.ndarray:
        """Return the effective rank of each bond, used to detect convergence.

        The default is the exponential of the entropy of the bond's singular values, normalized to
        sum to 1 (Roy and Vetterli 2007, definition 1).

        Args:
            layers: The layers that are to be truncated, all of them built.

        Returns:
            1-D array of all bonds of all layers.
        """
        return np.array(
            [effective_rank(values) for layer in layers for values in layer.bond_singular_values()]
        )

    def is_settled(self, layers: Sequence[TTLayer]) -> bool:
        """Return whether resting ranks may count as converged; by default, always.

        Args:
            layers: The layers that are to be truncated, all of them built.
        """
        return True

    def begin(  # noqa: B027
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> None:
        """Prepare the model for training, or check that there are ranks to select.

        Called once, before training begins.

        Args:
            model: As for `select`.
            layers: As for `select`.
            calibration_data: As for `select`.
        """

    def on_epoch(self, layers: Sequence[TTLayer], epoch: int) -> None:  # noqa: B027
        """Follow the training. Called at the beginning of every epoch.

        Args:
            layers: The layers that are to be truncated, all of them built.
            epoch: The epoch that begins, from 0.
        """


class BudgetSelection(Selection):
    """Base of the selections that keep to a budget. They are shown as the budget.

    Args:
        budget: The budget that `RankDiscretization` or `SelectionMap` was given.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget: Any = budget

    def __repr__(self) -> str:
        return repr(self.budget)

    def in_use(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> list[tuple[int, ...]]:
        """Return the ranks that the model has use for now; by default, those of `select`.

        Bonds that have use for all of their ranks may grow. Unlike `select` this may be asked in
        many epochs.

        Args:
            model: As for `select`, like all of them.
            layers: As there.
            calibration_data: As there.
        """
        return self.select(model, layers, calibration_data)


def effective_rank(singular_values: np.ndarray) -> float:
    """Return the exponential of singular values' entropy (Roy and Vetterli 2007, definition 1).

    Args:
        singular_values: 1-D array of numbers of at least 0.

    Returns:
        A number between 1 and the number of singular values; 0 if all of them are zero.

    Example:
        >>> round(effective_rank(np.array([2.0, 2.0, 0.0])), 6)
        2.0
    """
    positive = singular_values[singular_values > 0]
    if positive.size == 0:
        return 0.0
    shares = positive / positive.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))
