from abc import ABC, abstractmethod
from collections.abc import Sequence

import keras
import numpy as np

from dart_keras.layers.tt_layer import TTLayer


class Selection(ABC):
    """Base of the selections. To write your own, override `select`."""

    @abstractmethod
    def select(self, layers: Sequence[TTLayer]) -> list[tuple[int, ...]]:
        """The ranks to keep.

        Args:
            layers: The layers that are to be cut, all of them built.

        Returns:
            For each layer all d + 1 ranks.
        """

    def effective_ranks(self, layers: Sequence[TTLayer]) -> np.ndarray:
        """One real number a bond that comes to rest when the ranks do.

        The default is the exponential of the entropy of the bond's singular values, normalized to
        sum to 1 (Roy and Vetterli 2007, definition 1).

        Args:
            layers: The layers that are to be cut, all of them built.

        Returns:
            1-D array of all bonds of all layers.
        """
        return np.array(
            [effective_rank(values) for layer in layers for values in layer.bond_singular_values()]
        )

    def is_settled(self, layers: Sequence[TTLayer]) -> bool:
        """Whether the ranks may count as converged once they are at rest; by default, always."""
        return True

    def begin(self, model: keras.Model, layers: Sequence[TTLayer]) -> None:  # noqa: B027
        """Called once before training begins, for selections that take part in training."""

    def on_epoch(self, layers: Sequence[TTLayer], epoch: int) -> None:  # noqa: B027
        """Called at the beginning of every epoch, for selections that take part in training."""


def effective_rank(singular_values: np.ndarray) -> float:
    """The exponential of the entropy of singular values (Roy and Vetterli 2007, definition 1).

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
