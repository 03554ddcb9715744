from collections.abc import Callable
from typing import Any

import keras

from dart_keras.callbacks.tt_layers import tt_layers_of
from dart_keras.regularizers import RankRegularizer
from dart_keras.utils.representation import call_repr


class StrengthSchedule(keras.callbacks.Callback):
    """Scales the strength of the rank regularizers of a model from epoch to epoch.

    Args:
        schedule: Function of the epoch (an integer from 0) that returns a factor of at least 0.
            Each regularizer gets the strength that it was made with, times the factor.

    Raises:
        ValueError: If the model has no TT layers, or the schedule returns no number of at least 0.

    Example:
        >>> StrengthSchedule(lambda epoch: min(1.0, epoch / 5)).schedule(2)
        0.4
    """

    def __init__(self, schedule: Callable[[int], float]) -> None:
        super().__init__()
        self.schedule = schedule

    def __repr__(self) -> str:
        return call_repr(self, schedule=self.schedule)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the strengths of the epoch."""
        factor = self.schedule(epoch)
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not factor >= 0:
            raise ValueError(
                "StrengthSchedule expected a schedule that returns a number of at least 0. "
                f"Received: {factor!r} for epoch {epoch}"
            )
        for layer in tt_layers_of(self.model, self):
            regularizer = layer.rank_regularizer
            if isinstance(regularizer, RankRegularizer):
                regularizer.strength.assign(regularizer.initial_strength * factor)
