"""BitFit: only biases are trained."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.adapter import KernelAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import Method


class BiasAdapter(KernelAdapter):
    """Adds a vector to a layer's bias.

    Attributes:
        change: The vector, of shape (M,). It starts at zero.
    """

    def build(self, *shapes: Any) -> None:
        """Create the vector."""
        self.change = self.add_weight(
            shape=self.kernel.shape[1:], initializer="zeros", name="change"
        )
        super().build(*shapes)

    def attach(self, layer: Any) -> None:
        """Check that the layer has a bias for each of its output units.

        Raises:
            ValueError: If it has not, so that it could not be merged.
        """
        bias = self.kernel.bias_of(layer)
        if bias is None:
            raise ValueError(
                "Expected layers for `BitFit` that have a bias. Received: layer "
                f"{layer.name!r} with use_bias=False or without bias axes"
            )
        if np.size(layer.bias) != bias.size:
            raise ValueError(
                f"Expected layers for `BitFit` with a bias of {bias.size} elements, one for each "
                f"output unit. Received: layer {layer.name!r} with a bias of shape "
                f"{tuple(layer.bias.shape)}"
            )

    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the layer's outputs with the vector added."""
        rows = self.kernel.to_rows(outputs)
        return self.kernel.from_rows(ops.add(rows, ops.cast(self.change, rows.dtype)))

    def merged(self, matrix: np.ndarray) -> np.ndarray:
        """Refuse: the layer has its own kernel."""
        raise ValueError(
            f"Expected an adapter that changes a kernel. Received: {self.name!r}, which changes a "
            "bias"
        )

    def merged_into(self, layer: Any, weight: float) -> keras.Layer:
        """Return the layer with another bias."""
        change = weight * ops.convert_to_numpy(self.change)
        bias = self.kernel.bias_of(layer) + change
        layer.bias.assign(bias.reshape(layer.bias.shape))
        return layer


@dataclass(frozen=True, kw_only=True)
class BitFit(Method):
    """BitFit (Ben Zaken et al. 2021, arXiv:2106.10199, section 3): the biases alone are trained.

    `adapt` raises a `ValueError` for layers without a bias, for embeddings, and for layers whose
    bias is not one number for each output unit.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.BitFit(), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(16,)]
    """

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> BiasAdapter:
        """Return a new adapter with a vector of zeros."""
        self.check_multiplies(kernel, path)
        return BiasAdapter(kernel, **kwargs)
