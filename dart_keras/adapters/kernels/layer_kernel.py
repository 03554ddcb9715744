"""What adapters must know of a layer with a kernel: one matrix, whatever its axes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from keras import ops

from dart_keras.layers import TTLayer


class LayerKernel(ABC):
    """What an adapter must know of the layer that it is for, without holding the layer.

    Attributes:
        layer_classes: The Keras layer classes.
        shape: Shape (N, M) of the kernel as a matrix.
        looks_up: Whether the layer looks up rows of the matrix by ids.
    """

    layer_classes: ClassVar[tuple[Any, ...]]
    looks_up: ClassVar[bool] = False

    shape: tuple[int, int]

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

    @abstractmethod
    def tt_layer(
        self,
        ranks: Any,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        initializer: Any,
        **kwargs: Any,
    ) -> TTLayer:
        """Return a TT layer that does with inputs what the layer does, without bias and activation.

        Args:
            ranks: Its ranks.
            input_modes: Modes of the N rows.
            output_modes: Modes of the M columns.
            initializer: A Keras initializer for its matrix.
            **kwargs: `name` and `dtype`.
        """

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

    def input_rows(self, inputs: Any) -> Any:
        """Return inputs of a layer that multiplies with the N rows as the last axis.

        Args:
            inputs: What the layer is called with.
        """
        return inputs

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
