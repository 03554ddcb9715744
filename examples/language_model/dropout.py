"""Another dropout for the smaller model."""

from typing import Any

import keras

import dart_keras as dk


class DropoutAfterCut(keras.callbacks.Callback):
    """Gives a model's dropout layers another rate as soon as its ranks are cut.

    To be behind the cut, whose new functions then have the new rate.

    Args:
        rate: The share of numbers left out.
        discretization: The callback that cuts.
    """

    def __init__(self, rate: float, discretization: dk.callbacks.RankDiscretization) -> None:
        super().__init__()
        self.rate = rate
        self.discretization = discretization

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.discretization.cuts:
            return
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = self.rate
