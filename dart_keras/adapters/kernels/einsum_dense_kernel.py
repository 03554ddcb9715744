import math
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.kernels.layer_kernel import LayerKernel, products_of_identity
from dart_keras.layers import TTEinsumDense, TTLayer
from dart_keras.layers.einsum_axes import einsum_axes
from dart_keras.layers.tt_einsum_dense import array_moved, moved


class EinsumDenseKernel(LayerKernel):
    """The kernel of an `EinsumDense`, if it is one matrix for all rows.

    Args:
        equation: The layer's equation.
        input_shape: The shape of its input, `None` for sizes that are not known.
        output_shape: The argument `output_shape` of the layer.
    """

    layer_classes = (keras.layers.EinsumDense,)

    def __init__(
        self,
        equation: str,
        input_shape: Sequence[int | None],
        output_shape: Sequence[int | None],
    ) -> None:
        self.equation = equation
        self.input_shape = tuple(input_shape)
        self.output_shape = tuple(output_shape)
        self._axes = einsum_axes(equation).expanded(len(self.input_shape))
        axes = einsum_axes(equation)
        self._sizes: dict[str, Any] = dict(zip(axes.named, self.output_shape, strict=True))
        self._sizes |= dict(zip(self._axes.input, self.input_shape, strict=True))
        self.shape = (self._product(self._axes.summed), self._product(self._axes.new))

    def _product(self, axes: str) -> int:
        return math.prod(int(self._sizes[axis]) for axis in axes)

    @classmethod
    def of(cls, layer: keras.layers.EinsumDense) -> Self:
        """Return the kernel of a built layer."""
        shape = layer.get_build_config()["input_shape"]
        return cls(layer.equation, shape, layer.partial_output_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        shapes = {"input_shape": self.input_shape, "output_shape": self.output_shape}
        return {"equation": self.equation, **shapes}

    def matrix_of(self, layer: Any) -> np.ndarray:
        """Return the layer's kernel, of shape (N, M)."""
        axes = self._axes
        if layer.quantization_mode is None:
            kernel = ops.convert_to_numpy(layer.kernel)
            return array_moved(kernel, axes.kernel, axes.summed + axes.new).reshape(self.shape)
        # The kept axes hold the rows of the identity, in the first of them.
        rows = np.eye(self.shape[0], dtype=np.float32)
        sizes = [self.shape[0]] + [1] * (len(axes.kept) - 1)
        inputs = rows.reshape(*sizes, *(self._sizes[axis] for axis in axes.summed))
        inputs = array_moved(inputs, axes.kept + axes.summed, axes.input)
        outputs = products_of_identity(layer, inputs)
        return array_moved(outputs, axes.output, axes.kept + axes.new).reshape(self.shape)

    def set_matrix(self, layer: Any, matrix: np.ndarray) -> None:
        """Give a layer of float weights another kernel."""
        order = self._axes.summed + self._axes.new
        array = matrix.reshape([self._sizes[axis] for axis in order])
        layer.kernel.assign(array_moved(array, order, self._axes.kernel))

    def tt_layer(
        self,
        ranks: Any,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        initializer: Any,
        **kwargs: Any,
    ) -> TTLayer:
        """Return a TT layer that does with inputs what the layer does."""
        layer = TTEinsumDense(
            self.equation,
            self.output_shape,
            ranks,
            input_modes,
            output_modes,
            core_initializer=initializer,
            **kwargs,
        )
        layer.build(self.input_shape)
        return layer

    def product(self, inputs: Any, left: Any, right: Any, reverse: bool = False) -> Any:
        """Multiply the layer's inputs by a matrix that has two factors."""
        rows = self._input_rows(inputs)
        return self.from_rows(ops.matmul(ops.matmul(rows, left), right))

    def bias_of(self, layer: Any) -> np.ndarray | None:
        """Return the layer's bias as float32 of shape (M,); `None` if it has none."""
        bias = super().bias_of(layer)
        if bias is None:
            return None
        axes = self._axes
        bias = bias.reshape([1] * (len(axes.output) - bias.ndim) + list(bias.shape))
        rows = array_moved(bias, axes.output, axes.kept + axes.new)
        if max(rows.shape[: len(axes.kept)]) > 1:
            raise ValueError(
                "Expected a layer with the same bias for all rows of its outputs. Received: layer "
                f"{layer.name!r} with bias_axes={layer.bias_axes!r} for {layer.equation!r}"
            )
        sizes = [self._sizes[axis] for axis in axes.new]
        return np.broadcast_to(rows[(0,) * len(axes.kept)], sizes).reshape(self.shape[1])

    def _input_rows(self, inputs: Any) -> Any:
        """Return inputs of the layer with the N rows as the last axis."""
        axes = self._axes
        rows = moved(inputs, axes.input, axes.kept + axes.summed)
        if len(axes.summed) == 1:
            return rows
        return ops.reshape(rows, (*ops.shape(rows)[: len(axes.kept)], self.shape[0]))

    def to_rows(self, outputs: Any) -> Any:
        """Return outputs of the layer with the M columns as the last axis."""
        axes = self._axes
        rows = moved(outputs, axes.output, axes.kept + axes.new)
        if len(axes.new) == 1:
            return rows
        return ops.reshape(rows, (*ops.shape(rows)[: len(axes.kept)], self.shape[1]))

    def from_rows(self, rows: Any) -> Any:
        """Return a tensor of `to_rows` with the axes of the layer's output again."""
        axes = self._axes
        if len(axes.new) != 1:
            sizes = [self._sizes[axis] for axis in axes.new]
            rows = ops.reshape(rows, (*ops.shape(rows)[:-1], *sizes))
        return moved(rows, axes.kept + axes.new, axes.output)
