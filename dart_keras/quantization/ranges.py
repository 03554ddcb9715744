"""Ranges of tensors, learned by the quantizers of tensorflow-model-optimization.

Gradients ignore the rounding of all quantizers.
"""

import os
from typing import Any

import keras
from keras import ops

from dart_keras.utils.optional_imports import import_extra

BITS = 8


class WeightQuantizer:
    """Rounds a matrix or kernel to int8 with a scale for each channel, the last axis.

    The scales are those of the present elements.

    Args:
        layer: The layer that holds the ranges.
        shape: Shape of the weights, with two or four axes.
        name: Name prefix of the variables.
    """

    def __init__(self, layer: keras.Layer, shape: tuple[int, ...], name: str) -> None:
        self._quantizer = _quantizers().LastValueQuantizer(
            num_bits=BITS, per_axis=True, symmetric=True, narrow_range=True
        )
        self._ranges = self._quantizer.build(shape, name, _Variables(layer))

    def __call__(self, weights: Any) -> Any:
        """Return the tensor rounded to multiples of its channels' scales."""
        import tensorflow as tf

        values = {name: variable.value for name, variable in self._ranges.items()}
        return self._quantizer(tf.convert_to_tensor(weights), True, values)


class SingleScaleQuantizer:
    """Rounds weights to int8 with one scale, that of the present elements.

    Args:
        layer: The layer that holds the range.
        name: Name prefix of the variables.
        symmetric: Whether zero is the integer 0, as products of matrices need.
    """

    def __init__(self, layer: keras.Layer, name: str, symmetric: bool) -> None:
        self._quantizer = _quantizers().LastValueQuantizer(
            num_bits=BITS, per_axis=False, symmetric=symmetric, narrow_range=symmetric
        )
        self._ranges = self._quantizer.build(None, name, _Variables(layer))

    def __call__(self, weights: Any, final: bool = False) -> Any:
        """Return the rounded weights.

        Args:
            weights: A tensor.
            final: Whether to use the range of the last call.
        """
        import tensorflow as tf

        values = {name: variable.value for name, variable in self._ranges.items()}
        return self._quantizer(tf.convert_to_tensor(weights), not final, values)


class ActivationQuantizer:
    """Rounds a tensor to int8 in a range that training learns.

    The first batch sets the range, and a moving average follows the ranges of later ones.

    Args:
        layer: The layer that holds the range.
        name: Name prefix of the variables.
    """

    def __init__(self, layer: keras.Layer, name: str) -> None:
        self._quantizer = _quantizers().MovingAverageQuantizer(
            num_bits=BITS, per_axis=False, symmetric=False, narrow_range=False
        )
        self._ranges = self._quantizer.build(None, name, _Variables(layer))

    @property
    def is_learned(self) -> bool:
        """Whether training has seen a batch."""
        low, high = self.range
        return low < high

    @property
    def range(self) -> tuple[float, float]:
        """Values of the smallest and the largest integer, before rounding of the zero point."""
        low, high = (ops.convert_to_numpy(self._ranges[k]) for k in ("min_var", "max_var"))
        return float(low), float(high)

    def __call__(self, tensor: Any, training: bool | None, final: bool) -> Any:
        """Return the rounded tensor.

        Args:
            tensor: Any tensor.
            training: Whether to update the range.
            final: Whether the range is certainly learned. Otherwise a tensor is not rounded before
                its range is learned.
        """
        import tensorflow as tf

        tensor = tf.convert_to_tensor(tensor)
        low, high = (self._ranges[name].value for name in ("min_var", "max_var"))
        if training:
            first = tf.equal(low, high)
            low.assign(tf.where(first, tf.minimum(tf.reduce_min(tensor), 0.0), low))
            high.assign(tf.where(first, tf.maximum(tf.reduce_max(tensor), 0.0), high))
        rounded = self._quantizer(tensor, bool(training), {"min_var": low, "max_var": high})
        return rounded if training or final else tf.where(low < high, rounded, tensor)


class FixedQuantizer:
    """Rounds a tensor to int8 in a fixed range.

    Args:
        low: Value of the smallest integer.
        high: Value of the largest integer.
    """

    is_learned = True

    def __init__(self, low: float, high: float) -> None:
        self.range = low, high
        self._quantizer = _quantizers().FixedQuantizer(BITS, low, high, narrow_range=False)

    def __call__(self, tensor: Any, training: bool | None, final: bool) -> Any:
        """Return the rounded tensor."""
        return self._quantizer(tensor, training, None)


class _Variables:
    """Lets a quantizer create variables in a Keras 3 layer."""

    def __init__(self, layer: keras.Layer) -> None:
        self._layer = layer

    def add_weight(self, name: str, initializer: Any, trainable: bool, shape: Any) -> Any:
        shape = () if shape is None else (shape,)
        return self._layer.add_weight(
            name=name, shape=shape, initializer="zeros", trainable=trainable, autocast=False
        )


def _quantizers() -> Any:
    """Return the module of the quantizers.

    Importing it sets an environment variable for Keras 2, which is restored.
    """
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    try:
        return import_extra(
            "tensorflow_model_optimization.quantization.keras.quantizers",
            "tensorflow-model-optimization",
            "quantization",
        )
    finally:
        if before is None:
            os.environ.pop("TF_USE_LEGACY_KERAS", None)
        else:
            os.environ["TF_USE_LEGACY_KERAS"] = before
