"""A layer's products with its weights, as a device computes them in int8."""

from typing import Any

import keras
import numpy as np

from dart_keras.layers.planning import fastest_of_its_size, planned_as, planning_for
from dart_keras.quantization.ranges import ActivationQuantizer, WeightQuantizer
from dart_keras.tensor_train.contraction import ContractionPlan, between_products, contract


class Kernel:
    """The product with the rounded kernel of a `Dense` or a convolution.

    Args:
        holder: Has the layer as its `layer`, and holds the ranges.
        rows: How many rows the layer has for one example.
    """

    def __init__(self, holder: Any, rows: int) -> None:
        self._layer = holder.layer
        self._quantizer = WeightQuantizer(holder, self._channels_last().shape, "kernel")
        self.quantizers: list[ActivationQuantizer] = []

    def __call__(self, inputs: Any, training: bool | None, final: bool) -> Any:
        """The layer's outputs."""
        kernel = self._layer.kernel
        rounded = keras.ops.reshape(self._rounded(final), kernel.shape)
        with keras.StatelessScope(state_mapping=[(kernel, rounded)]):
            return self._layer(inputs)

    def _rounded(self, final: bool) -> Any:
        if not final:
            return self._quantizer(self._channels_last())
        import tensorflow as tf

        # The converter refuses to round constants by their channels.
        with tf.init_scope():
            rounded = self._quantizer(self._channels_last()).numpy()
        return tf.constant(rounded)

    def _channels_last(self) -> Any:
        """The kernel with an axis at the end for what has a scale of its own on the device."""
        kernel = keras.ops.convert_to_tensor(self._layer.kernel)
        if not isinstance(self._layer, keras.layers.DepthwiseConv2D):
            return kernel
        height, width, channels, multiplier = kernel.shape
        return keras.ops.reshape(kernel, (height, width, 1, channels * multiplier))


class TrainProducts:
    """The products with the rounded cores of a `TTDense`, and their rounded results.

    Args:
        holder: As for `Kernel`.
        rows: As for `Kernel`.
    """

    def __init__(self, holder: Any, rows: int) -> None:
        self._layer, self._target = holder.layer, holder.target
        self._plan = self._fastest(rows)
        size, products = self._plan.network.size, self._plan.input_products
        self._weights = [
            WeightQuantizer(holder, (size(p.shared), size(p.new)), f"matrix_{k}")
            for k, p in enumerate(products)
        ]
        # Bias and activation become part of a last product that makes whole rows.
        is_output = self._plan.network.dense_shape[1] == self._layer.units
        count = len(products) - (self._plan.makes_whole_rows and is_output)
        self.quantizers = [ActivationQuantizer(holder, f"result_{k}") for k in range(count)]

    def __call__(self, inputs: Any, training: bool | None, final: bool) -> Any:
        """The layer's outputs."""
        steps = _Steps(self.quantizers, training, final, self._matrices(final))
        with planned_as(self._target, self._plan), between_products(steps):
            return self._layer(inputs)

    def _fastest(self, rows: int) -> ContractionPlan:
        with planning_for(self._target, lambda layer, plans: fastest_of_its_size(plans)):
            return self._layer.contraction_plan(rows)

    def _matrices(self, final: bool) -> Any:
        """What rounds the matrix of each product."""
        if not final:
            return self._weights
        import tensorflow as tf

        with tf.init_scope():
            steps = _Recorded(self._weights)
            row = np.zeros((1, self._plan.network.dense_shape[0]), "float32")
            with between_products(steps):
                contract(row, self._layer.cores_in_use(), self._plan)
        return [lambda _, rounded=matrix: tf.constant(rounded) for matrix in steps.matrices]


class _Steps:
    """Rounds while the layer runs."""

    def __init__(self, results: Any, training: bool | None, final: bool, matrices: Any) -> None:
        self._results, self._matrices = results, matrices
        self._training, self._final = training, final

    def weights(self, step: int, matrix: Any) -> Any:
        return self._matrices[step](matrix)

    def result(self, step: int, tensor: Any) -> Any:
        if step == len(self._results):
            return tensor
        return self._results[step](tensor, self._training, self._final)


class _Recorded:
    """Keeps the rounded matrices."""

    def __init__(self, quantizers: Any) -> None:
        self._quantizers = quantizers
        self.matrices: list[np.ndarray] = []

    def weights(self, step: int, matrix: Any) -> Any:
        rounded = self._quantizers[step](matrix)
        self.matrices.append(rounded.numpy())
        return rounded

    def result(self, step: int, tensor: Any) -> Any:
        return tensor
