"""How far a student's outputs are from what they should be, as losses of Keras."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from dart_keras.compression.calibration.output_loss import LEAST_PROBABILITY, are_probabilities

# At 1 doubtful rows alone make the gradient; softer ones also say what else a sure row resembles.
_TEMPERATURES = (1, 4)


def distillation_losses(targets: Sequence[Any], variances: Sequence[float]) -> list[Any]:
    """Return a loss for each output.

    Args:
        targets: Outputs of the original for some rows.
        variances: The variance of an element of each.
    """
    return [
        _Divergence() if are_probabilities(y) else _RelativeError(variance)
        for y, variance in zip(targets, variances, strict=True)
    ]


class _Divergence(keras.losses.Loss):
    """Kullback-Leibler, of the probabilities and of what they would be at higher temperatures."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = [ops.log(ops.maximum(y, LEAST_PROBABILITY)) for y in (y_true, y_pred)]
        return sum(
            # Gradients fall with the square of the temperature.
            t**2 * keras.losses.kl_divergence(*(ops.softmax(y / t) for y in logits))
            for t in _TEMPERATURES
        )


class _RelativeError(keras.losses.Loss):
    def __init__(self, variance: float) -> None:
        super().__init__()
        self._variance = variance

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_pred - y_true), axis=-1) / self._variance
