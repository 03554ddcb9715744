from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.kernels.layer_kernel import LayerKernel
from dart_keras.layers import TTEmbedding, TTLayer


class EmbeddingKernel(LayerKernel):
    """The table of an `Embedding`, or of a `ReversibleEmbedding` with tied weights.

    Args:
        rows: N, the size of the vocabulary.
        columns: M, the size of an embedding.
    """

    layer_classes = (keras.layers.Embedding, keras.layers.ReversibleEmbedding)
    looks_up = True

    def __init__(self, rows: int, columns: int) -> None:
        self.shape = (int(rows), int(columns))

    @classmethod
    def of(cls, layer: keras.layers.Embedding) -> Self:
        """Return the kernel of a built layer."""
        plain = {"tie_weights": True, "logit_soft_cap": None}
        for name, value in plain.items():
            if getattr(layer, name, value) != value:
                raise ValueError(
                    f"Expected an embedding with {name}={value}, whose outputs are products with "
                    f"one table. Received: layer {layer.name!r} with "
                    f"{name}={getattr(layer, name)!r}"
                )
        return cls(layer.input_dim, layer.output_dim)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"rows": self.shape[0], "columns": self.shape[1]}

    def matrix_of(self, layer: Any) -> np.ndarray:
        """Return the layer's kernel, of shape (N, M)."""
        if layer.quantization_mode is None:
            return ops.convert_to_numpy(layer.embeddings)
        return ops.convert_to_numpy(layer(np.arange(self.shape[0])))

    def set_matrix(self, layer: Any, matrix: np.ndarray) -> None:
        """Give a layer of float weights another kernel."""
        layer.embeddings.assign(matrix)

    def tt_layer(
        self,
        ranks: Any,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        initializer: Any,
        **kwargs: Any,
    ) -> TTLayer:
        """Return a TT layer that does with inputs what the layer does."""
        layer = TTEmbedding(
            *self.shape,
            ranks,
            input_modes,
            output_modes,
            embeddings_initializer=initializer,
            **kwargs,
        )
        layer.build()
        return layer

    def product(self, inputs: Any, left: Any, right: Any, reverse: bool = False) -> Any:
        """Multiply the layer's inputs by a matrix that has two factors."""
        if reverse:
            inputs = ops.matmul(ops.cast(inputs, right.dtype), ops.transpose(right))
            return ops.matmul(inputs, ops.transpose(left))
        return ops.matmul(ops.take(left, ops.cast(inputs, "int32"), axis=0), right)
