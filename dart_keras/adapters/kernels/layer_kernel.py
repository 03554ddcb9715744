"""What adapters must know of a layer with a kernel: one matrix, whatever its axes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from keras import ops

from dart_keras.layers import TTDense, TTLayer


class LayerKernel(ABC):
    """What an adapter must know of the layer that it is for, without holding the layer.

    Attributes:
        layer_classes: The Keras layer classes.
        shape: Shape (N, M) of the kernel as a matrix.
        looks_up: Whether the layer looks up rows of the matrix by ids.
        positions: How many rows each input channel has: those of a convolution's kernel.
    """

    layer_classes: ClassVar[tuple[Any, ...]]
    looks_up: ClassVar[bool] = False

    shape: tuple[int, int]
    positions: int = 1

    @classmethod
    @abstractmethod
    def of(cls, layer: Any) -> Self:
        """Return the kernel of a built layer.

        Raises:
            ValueError: If it is not one matrix.
        """

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, JSON-serializable."""

    @abstractmethod
    def matrix_of(self, layer: Any) -> np.ndarray:
        """Return the layer's kernel, of shape (N, M), in float32 if it is quantized."""

    @abstractmethod
    def set_matrix(self, layer: Any, matrix: np.ndarray) -> None:
        """Give a layer of float weights another kernel.

        Args:
            layer: The layer.
            matrix: Array of shape (N, M).
        """

    def tt_layer(
        self,
        ranks: Any,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        initializer: Any,
        **kwargs: Any,
    ) -> TTLayer:
        """Return a TT layer for `tt_product`, without bias and activation.

        Args:
            ranks: Its ranks.
            input_modes: Modes of the N rows.
            output_modes: Modes of the M columns.
            initializer: A Keras initializer for its matrix.
            **kwargs: `name` and `dtype`.
        """
        modes: Any = input_modes, output_modes
        options: dict[str, Any] = {"use_bias": False, "core_initializer": initializer, **kwargs}
        layer = TTDense(self.shape[1], ranks, *modes, **options)
        layer.build((None, self.shape[0]))
        return layer

    def tt_product(self, layer: TTLayer, inputs: Any, reverse: bool, training: bool | None) -> Any:
        """Multiply the layer's inputs by the TT matrix of a layer of `tt_layer`.

        Args:
            layer: The TT layer.
            inputs: What the adapted layer is called with.
            reverse: Whether to multiply by the transpose, which only embeddings do.
            training: As for any Keras layer.

        Returns:
            Tensor with the axes of the layer's output.
        """
        arguments = {"reverse": True} if reverse else {}
        return layer(inputs, training=training, **arguments)

    @abstractmethod
    def product(self, inputs: Any, left: Any, right: Any, reverse: bool = False) -> Any:
        """Multiply the layer's inputs by a matrix that has two factors.

        Args:
            inputs: What the layer is called with; ids if it looks up rows.
            left: Tensor of shape (N, r).
            right: Tensor of shape (r, M).
            reverse: Whether to multiply by the transpose, which only embeddings do.

        Returns:
            Tensor with the axes of the layer's output.
        """

    def bias_of(self, layer: Any) -> np.ndarray | None:
        """Return the layer's bias as float32 of shape (M,); `None` if it has none.

        Args:
            layer: The layer, built.

        Raises:
            ValueError: If it is not the same for all rows of the outputs.
        """
        bias = getattr(layer, "bias", None)
        return None if bias is None else ops.convert_to_numpy(ops.cast(bias, "float32"))

    def _input_rows(self, inputs: Any) -> Any:
        """Return inputs of a layer that multiplies with the N rows as the last axis.

        Args:
            inputs: What the layer is called with.
        """
        return inputs

    def group_sums(self, inputs: Any, size: int) -> Any:
        """Return the sums over groups of the rows that a layer multiplies.

        Args:
            inputs: What the layer is called with.
            size: Rows of a group; the last one may be smaller.

        Returns:
            Tensor of shape (..., size), with the axes of `to_rows`.
        """
        rows = self._input_rows(inputs)
        leading = ops.shape(rows)[:-1]
        groups = -(-self.shape[0] // size)
        if missing := groups * size - self.shape[0]:
            rows = ops.pad(rows, [(0, 0)] * len(leading) + [(0, missing)])
        return ops.sum(ops.reshape(rows, (*leading, groups, size)), axis=-2)

    def to_rows(self, outputs: Any) -> Any:
        """Return outputs of the layer with the M columns as the last axis.

        Args:
            outputs: Tensor with the axes of the layer's output.
        """
        return outputs

    def from_rows(self, rows: Any) -> Any:
        """Return a tensor of `to_rows` with the axes of the layer's output again.

        Args:
            rows: Tensor of shape (..., M).
        """
        return rows


def products_of_identity(layer: Any, identity: np.ndarray) -> np.ndarray:
    """Return what a linear layer makes of an identity matrix, without its bias: its kernel.

    So it does not matter how Keras stores the codes of quantized kernels.

    Args:
        layer: A layer without activation.
        identity: The rows of an identity matrix, with the axes of the layer's input.
    """
    outputs = ops.convert_to_numpy(ops.cast(layer(identity), "float32"))
    bias = ops.convert_to_numpy(ops.cast(layer(np.zeros_like(identity)), "float32"))
    return outputs - bias


def chained_cores(cores: Sequence[Any]) -> Any:
    """Multiply neighbouring cores that all have modes of rows, or all have modes of columns.

    Args:
        cores: Tensors of shape (r_{k-1}, n_k, m_k, r_k), of which n_k or m_k is 1 throughout.

    Returns:
        Tensor of shape (r_0 times all modes, r_d).
    """
    first, *others = cores
    matrix = ops.reshape(first, (-1, first.shape[-1]))
    for core in others:
        matrix = ops.matmul(matrix, ops.reshape(core, (core.shape[0], -1)))
        matrix = ops.reshape(matrix, (-1, core.shape[-1]))
    return matrix
