"""Products of a layer with its weights as a device computes them in int8."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from dart_keras.layers.planning import (
    device_planning,
    fastest_of_its_size,
    planned_as,
)
from dart_keras.quantization.ranges import (
    ActivationQuantizer,
    SingleScaleQuantizer,
    WeightQuantizer,
)
from dart_keras.tensor_train.contraction import intercept_products

# Each column has a scale of four bytes and a zero point of eight in a file.
_SCALE_BYTES = 12
# Limits for the scales of a TT matrix: bytes, and a share of the weights' bytes.
_FEW_SCALES = 2048
_MOST_SCALES = 0.25


class Kernel:
    """Product with the rounded kernel of a `Dense` or a convolution.

    Args:
        holder: Has the layer as its `layer`, and holds the ranges.
    """

    def __init__(self, holder: Any) -> None:
        self._layer = holder.layer
        self._quantizer = WeightQuantizer(holder, self._channels_last().shape, "kernel")
        self.quantizers: list[ActivationQuantizer] = []

    def __call__(self, inputs: Any, training: bool | None, final: bool) -> Any:
        """Return the layer's outputs."""
        kernel = self._layer.kernel
        rounded = keras.ops.reshape(self._rounded(final), kernel.shape)
        with keras.StatelessScope(state_mapping=[(kernel, rounded)]):
            return self._layer(inputs)

    def _rounded(self, final: bool) -> Any:
        if not final:
            return self._quantizer(self._channels_last())
        import tensorflow as tf

        # The converter does not support rounding of constants per channel.
        with tf.init_scope():
            rounded = self._quantizer(self._channels_last()).numpy()
        return tf.constant(rounded)

    def _channels_last(self) -> Any:
        """Return the kernel with a last axis of all channels that have their own scale."""
        kernel = keras.ops.convert_to_tensor(self._layer.kernel)
        if not isinstance(self._layer, keras.layers.DepthwiseConv2D):
            return kernel
        height, width, channels, multiplier = kernel.shape
        return keras.ops.reshape(kernel, (height, width, 1, channels * multiplier))


class TTProducts:
    """Products with the rounded cores of a TT matrix, and their rounded results.

    Args:
        holder: As for `Kernel`.
        input_shape: The shape of what the layer is given.
        rows: How many rows it multiplies for one input of a batch.
        width: How many elements a row of the product has, if only the bias and the activation
            come after it.
        **options: Further arguments of the layer's `call`.
    """

    def __init__(
        self,
        holder: Any,
        input_shape: Sequence[int | None],
        rows: int,
        width: int | None,
        **options: Any,
    ) -> None:
        self._layer, self._target, self._options = holder.layer, holder.target, options
        self._row = [size or 1 for size in input_shape]
        with device_planning(self._target, lambda layer, plans: fastest_of_its_size(plans)):
            self._plan = self._layer.contraction_plan(rows)
        size, products = self._plan.network.size, self._plan.input_products
        shapes = [(size(p.shared), size(p.new)) for p in products]
        self._weights = _weight_quantizers(holder, shapes)
        # Bias and activation are fused with a last product that computes whole rows.
        is_output = self._plan.network.dense_shape[1] == width
        count = len(products) - (self._plan.makes_whole_rows and is_output)
        self.quantizers = [ActivationQuantizer(holder, f"result_{k}") for k in range(count)]

    def __call__(self, inputs: Any, training: bool | None, final: bool) -> Any:
        """Return the layer's outputs."""
        matrices: Sequence[Callable[[Any], Any]] = self._weights
        if final:
            row = np.zeros(self._row, "float32")
            matrices = final_weights(self._weights, lambda interceptor: self._run(row, interceptor))
        return self._run(inputs, RoundingInterceptor(matrices, self.quantizers, training, final))

    def _run(self, inputs: Any, interceptor: Any) -> Any:
        with planned_as(self._target, self._plan), intercept_products(interceptor):
            return self._layer(inputs, **self._options)


class RoundingInterceptor:
    """A `ProductInterceptor` that rounds as the device does.

    Args:
        matrices: Quantizers of the matrix of each product, or of the table of each factor.
        results: Quantizers of the results of the first products or of all.
        training: Whether to update the ranges of the results.
        final: Whether the ranges are learned.
    """

    def __init__(self, matrices: Any, results: Any, training: bool | None, final: bool) -> None:
        self._results, self._matrices = results, matrices
        self._training, self._final = training, final

    def weights(self, step: int, matrix: Any) -> Any:
        """Return the rounded matrix."""
        return self._matrices[step](matrix)

    def result(self, step: int, tensor: Any) -> Any:
        """Return the rounded result."""
        if step >= len(self._results):
            return tensor
        return self._results[step](tensor, self._training, self._final)


def final_weights(
    quantizers: Sequence[Any], run: Callable[[Any], Any]
) -> list[Callable[[Any], Any]]:
    """Return functions that give the present rounded weights as constants, for a file.

    Args:
        quantizers: One quantizer for each matrix.
        run: Runs the layer with a given `ProductInterceptor`.
    """
    import tensorflow as tf

    recorded = _Recorded(quantizers)
    with tf.init_scope():
        run(recorded)
    # The converter does not support rounding per channel, but finds the scales in constants.
    return [
        partial(quantizer, final=True)
        if isinstance(quantizer, SingleScaleQuantizer)
        else partial(_constant, matrix)
        for quantizer, matrix in zip(quantizers, recorded.matrices, strict=True)
    ]


def _weight_quantizers(holder: Any, shapes: Sequence[tuple[int, int]]) -> list[Any]:
    """Return the quantizers of a TT matrix's products, whose matrices have shapes (rows, columns).

    Columns have their own scales. If these would take too much space in a file, the matrices with
    the fewest rows have one scale each.
    """
    weights = sum(rows * columns for rows, columns in shapes)
    scales = sum(_SCALE_BYTES * columns for _, columns in shapes)
    single = set()
    for place in sorted(range(len(shapes)), key=lambda k: shapes[k][0]):
        if scales <= max(_FEW_SCALES, _MOST_SCALES * weights):
            break
        single.add(place)
        scales -= _SCALE_BYTES * shapes[place][1]
    return [
        SingleScaleQuantizer(holder, f"matrix_{k}", symmetric=True)
        if k in single
        else WeightQuantizer(holder, shape, f"matrix_{k}")
        for k, shape in enumerate(shapes)
    ]


def _constant(rounded: np.ndarray, matrix: Any) -> Any:
    import tensorflow as tf

    return tf.constant(rounded)


class _Recorded:
    """Records the rounded matrices."""

    def __init__(self, quantizers: Any) -> None:
        self._quantizers = quantizers
        self.matrices: list[np.ndarray] = []

    def weights(self, step: int, matrix: Any) -> Any:
        rounded = self._quantizers[step](matrix)
        self.matrices.append(rounded.numpy())
        return rounded

    def result(self, step: int, tensor: Any) -> Any:
        return tensor
