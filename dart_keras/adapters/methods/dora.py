"""DoRA: columns of the kernel get a length that is trained apart from their direction."""

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.methods.tensor_train import LoRA, TTAdapter


class DoRAAdapter(TTAdapter):
    """Adds a scaled TT matrix to a kernel and gives each of its columns a trained length.

    The lengths of the columns need the kernel itself, so the adapter holds a copy of it in its
    compute dtype. The copy is not in files of adapters.

    Attributes:
        magnitude: The lengths of the columns, of shape (M,).
        frozen_kernel: The layer's kernel, of shape (N, M).
        frozen_bias: Its bias, of shape (M,); zero if it has none.
    """

    def build(self, *shapes: Any) -> None:
        """Create the magnitudes and what `attach` fills."""
        columns = self.kernel.shape[1:]
        # A length of low precision would change outputs before it is trained.
        self.magnitude = self.add_weight(
            shape=columns, initializer="ones", autocast=False, name="magnitude"
        )
        frozen: dict[str, Any] = {"initializer": "zeros", "trainable": False, "autocast": False}
        self.frozen_kernel = self.add_weight(
            shape=self.kernel.shape, dtype=self.compute_dtype, name="frozen_kernel", **frozen
        )
        self.frozen_bias = self.add_weight(shape=columns, name="frozen_bias", **frozen)
        self.derived_weights = (self.frozen_kernel, self.frozen_bias)
        super().build(*shapes)

    def attach(self, layer: Any) -> None:
        """Take the kernel and the bias, and start with the lengths of the kernel's columns.

        Raises:
            ValueError: If the bias is not the same for all rows of the layer's outputs.
        """
        bias = self.kernel.bias_of(layer)
        self.frozen_kernel.assign(self.kernel.matrix_of(layer))
        if bias is not None:
            self.frozen_bias.assign(bias)
        self.magnitude.assign(self._lengths(0.0))

    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the outputs with the other kernel; the bias keeps its size."""
        # One call, because rank gates draw ranks in each.
        left, right = (
            ops.reshape(core, (core.shape[0] * core.shape[1], -1))
            for core in self.update.cores_in_use(training)
        )
        change = ops.multiply(self.scale, self.kernel.product(inputs, left, right))
        matrix = ops.matmul(ops.cast(left, "float32"), ops.cast(right, "float32"))
        # Constant in the backward pass (section 4.3 of the paper).
        lengths = ops.stop_gradient(self._lengths(ops.multiply(self.scale, matrix)))
        ratio = ops.divide_no_nan(ops.cast(self.magnitude, "float32"), lengths)
        rows = self.kernel.to_rows(outputs)
        ratio, more, bias, change = (
            ops.cast(each, rows.dtype)
            for each in (ratio, ratio - 1, self.frozen_bias, self.kernel.to_rows(change))
        )
        # In this order nothing is rounded as long as nothing is trained.
        rows = ops.add(rows, ops.add(ratio * change, more * (rows - bias)))
        return self.kernel.from_rows(rows)

    def merged(self, matrix: np.ndarray) -> np.ndarray:
        """Return the kernel with the TT matrix added and each column multiplied."""
        return super().merged(matrix) * self._ratios()

    def merged_into(self, layer: Any, weight: float) -> keras.Layer:
        """Return the layer with another kernel.

        What other adapters have added to its bias is multiplied as the columns are.
        """
        layer = super().merged_into(layer, weight)
        bias = self.kernel.bias_of(layer)
        if bias is not None:
            added = bias - ops.convert_to_numpy(self.frozen_bias)
            if np.any(added):
                bias = bias + weight * (self._ratios() - 1) * added
                layer.bias.assign(bias.reshape(layer.bias.shape))
        return layer

    def _lengths(self, change: Any) -> Any:
        matrix = ops.add(ops.cast(self.frozen_kernel, "float32"), change)
        return ops.sqrt(ops.sum(ops.square(matrix), axis=0))

    def _ratios(self) -> np.ndarray:
        kernel = ops.convert_to_numpy(ops.cast(self.frozen_kernel, "float32"))
        lengths = np.linalg.norm(super().merged(kernel.astype(np.float64)), axis=0)
        magnitude = ops.convert_to_numpy(self.magnitude).astype(np.float64)
        return np.divide(magnitude, lengths, out=np.zeros_like(lengths), where=lengths > 0)


@dataclass(frozen=True, kw_only=True)
class DoRA(LoRA):
    """DoRA (Liu et al. 2024, arXiv:2402.09353, section 4): length and direction apart.

    The matrix of LoRA is added to the kernel, then every column, which is the weights of one output
    unit, is brought to a trained length. The lengths start as those of the pretrained kernel. The
    lengths of the sum are constants in the backward pass (section 4.3).

    Each adapted layer holds its kernel once more, because the lengths are computed in every call.

    Attributes:
        rank: Rank of every layer's adapter, r. It can be learned, as that of `LoRA`.
        alpha: The change is scaled by alpha / r, with the r of the start.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        alpha_pattern: Other values of alpha, likewise.
        rank_stabilized: Whether to scale by alpha / sqrt(r).
        rank_regularizer: A rank regularizer of the matrices.

    Raises:
        ValueError: If a rank is not a positive integer, or alpha is not above 0.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.DoRA(rank=4), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(16,), (1, 32, 1, 4), (4, 1, 16, 1)]
    """

    _adapter_class: ClassVar[type[TTAdapter]] = DoRAAdapter

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> TTAdapter:
        """Return a new adapter, whose magnitudes `attach` fills."""
        self.check_multiplies(kernel, path)
        return super().adapter_for(kernel, path, **kwargs)
